"""The directory of an OCI bundle, which exists while its engine runs.

It is locked as long as the process that made it, or one that inherited the lock, lives. The container's id
is the name of the bundle, and engines create a control group with that name in every hierarchy.
"""

from __future__ import annotations

import fcntl
import os

PREFIX = "run-"


def create_bundle(parent: str) -> tuple[str, int]:
    """Return a new directory below ``parent``, and the descriptor that locks it."""
    while True:
        bundle = f"{parent}/{PREFIX}{os.urandom(8).hex()}"
        os.mkdir(bundle, 0o700)
        try:
            descriptor = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        if os.path.isdir(bundle):
            return bundle, descriptor
        os.close(descriptor)  # a collection removed it before it was locked


def remove_bundle(bundle: str) -> None:
    """Remove a bundle and what its engine left in it."""
    try:
        with os.scandir(bundle) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    remove_bundle(entry.path)
                else:
                    _ignore_errors(os.unlink, entry.path)
    except OSError:
        pass
    _ignore_errors(os.rmdir, bundle)


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _ignore_errors(remove: Callable[[str], None], path: str) -> None:
    try:
        remove(path)
    except OSError:
        pass
