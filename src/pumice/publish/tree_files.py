"""The files of a published tree: each changes at once, and open ones stay as they are for their readers."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice import files
from pumice.os_errors import translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODE = 0o644
"""Web servers run as another user, whatever the umask is."""
_LOCK = ".pumice-publish"
_SECOND = 1_000_000_000
SCRATCH = ".pumice-image-"
"""How the names of incomplete files, and of directories for them, begin."""


@contextmanager
def lock_tree(directory: Path) -> Iterator[None]:
    """Create the directory, and let no other process publish to it meanwhile; raises StoreError.

    What a killed process left there is removed.
    """
    with translate_os_errors(str(directory)):
        _make_directories(directory)
    with files.FileLock(str(directory / _LOCK)):
        _remove_leftovers(directory)
        yield


def _remove_leftovers(directory: Path) -> None:
    for path in directory.rglob(f"{SCRATCH}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            files.unlink_quietly(str(path))


def write_file(path: Path, data: bytes) -> bool:
    """Write a small file unless it has this content already, and return whether it is new."""
    with translate_os_errors(str(path)):
        try:
            if path.read_bytes() == data:
                return False
        except FileNotFoundError:
            pass
        _make_directories(path.parent)
        scratch = path.with_name(f"{SCRATCH}{files.scratch_name()}")
        try:
            scratch.write_bytes(data)
            install_file(scratch, path)
        except BaseException:
            files.unlink_quietly(str(scratch))
            raise
    return True


def install_file(scratch: Path, path: Path) -> None:
    """Give a complete file its name, durably; it must be on the same file system. Raises StoreError."""
    with translate_os_errors(str(path)):
        _make_directories(path.parent)
        scratch.chmod(_MODE)
        advance_time(scratch, path)
        files.sync_file(str(scratch))
        scratch.replace(path)
        files.OS.sync_directory(str(path.parent))


def link_file(path: Path, alias: Path) -> None:
    """Give a file another name at once, replacing another file of that name; raises StoreError."""
    scratch = alias.with_name(f"{SCRATCH}{files.scratch_name()}")
    with translate_os_errors(str(alias)):
        if alias.exists() and path.samefile(alias):
            return
        advance_time(path, alias)
        os.link(path, scratch)
        scratch.replace(alias)


def advance_time(scratch: Path, target: Path) -> None:
    """Give a file that replaces another one a later second: servers make the ETag of time and size."""
    try:
        replaced = target.stat()
    except FileNotFoundError:
        return
    oldest = (replaced.st_mtime_ns // _SECOND + 1) * _SECOND
    if scratch.stat().st_mtime_ns < oldest:
        os.utime(scratch, ns=(oldest, oldest))


def _make_directories(directory: Path) -> None:
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(0o755, exist_ok=True)
        path.chmod(0o755)  # whatever the umask is
