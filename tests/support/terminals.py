"""Starts programs in a terminal, as a shell does."""

from __future__ import annotations

import fcntl
import os
import pty
import subprocess
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def start_in_terminal(
    command: Sequence[str], terminal: int, environment: Mapping[str, str], folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, which the open file ``terminal`` controls."""
    return subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - tests have no threads here
    )


def run_in_terminal(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command whose standard streams are a terminal, and return its exit code."""
    controller, terminal = pty.openpty()
    try:
        process = subprocess.run(
            command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, check=False
        )
    finally:
        os.close(terminal)
        os.close(controller)
    return process.returncode
