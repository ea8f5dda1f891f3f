"""Waiting for what another process does, with an end if it never does.

Only these functions pause: tests have no other limits of time, which would be too short on a busy machine.
"""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE_SECONDS = 120
"""What another process may take on a busy machine."""


def until(condition: Callable[[], T], show: Callable[[], object] = str) -> T:
    """Return the first true value of ``condition``; fail with what ``show`` returns if there never is one."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {PATIENCE_SECONDS} s: {show()}"
        select.select([], [], [], 0.002)
    return value


def for_server(port: int, process: subprocess.Popen[bytes], show: Callable[[], object] = str) -> None:
    """Wait until a process answers at a port of 127.0.0.1; fail with what ``show`` returns if it ends."""

    def answers() -> bool:
        assert process.poll() is None, f"{process.args!r} ended: {show()}"
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", port)) == 0

    until(answers, show)
