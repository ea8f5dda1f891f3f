"""Podman with a store of its own, as a peer in tests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def private_podman() -> Iterator[list[str]]:
    """Yield the command of podman up to its options.

    Nothing of it is shared with another podman: neither its store nor the folder of its locks. Its images
    are copied instead of mounted, so it does not depend on the kernel's overlay.
    """
    folder = Path(
        tempfile.mkdtemp(prefix="pod-", dir="/tmp")
    )  # podman refuses paths of more than 50 characters
    command = [
        need("podman"),
        *("--root", f"{folder}/r", "--runroot", f"{folder}/s", "--tmpdir", f"{folder}/t"),
        *("--storage-driver", "vfs", "--runtime", "runc"),
        *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
    ]
    try:
        yield command
    finally:
        for kind in ("rm", "rmi"):
            subprocess.run([*command, kind, "--all", "--force"], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def pull(podman: list[str], *arguments: str, environment: dict[str, str] | None = None) -> str:
    """Return the ID of an image that podman pulled."""
    process = subprocess.run(
        [*podman, "pull", "--quiet", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()
