"""The bundle directories of runc and crun, and what they leave if they are killed.

An engine's bundle is locked as long as the process that made it, or one that inherited the lock, lives. The
container's id is the name of the bundle, and engines create a control group with that name in every
hierarchy.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "run-"
_CGROUPS = Path("/sys/fs/cgroup")
_MAX_DEPTH = 12


def create_bundle(parent: Path) -> tuple[Path, int]:
    """Return a new directory below ``parent``, and the descriptor that locks it."""
    while True:
        bundle = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            descriptor = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if bundle.is_dir():
            return bundle, descriptor
        os.close(descriptor)  # a collection removed it before it was locked


def remove_stale_bundles(parent: Path) -> None:
    """Remove the bundles below ``parent`` that nobody holds, and the control groups with their names."""
    for bundle in parent.glob(f"{PREFIX}*"):
        try:
            descriptor = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it is in use, or it is unknown whether it is
            continue
        else:
            _remove_control_groups(bundle.name)
            shutil.rmtree(bundle, ignore_errors=True)
        finally:
            os.close(descriptor)


def _remove_control_groups(name: str) -> None:
    """Remove empty control groups with a name, the deepest first."""
    for parent, directories, _ in os.walk(_CGROUPS):
        if parent.count("/") - str(_CGROUPS).count("/") >= _MAX_DEPTH:
            directories.clear()
        if name in directories:
            directories.remove(name)
            for path, _, _ in os.walk(f"{parent}/{name}", topdown=False):
                with suppress(OSError):
                    Path(path).rmdir()
