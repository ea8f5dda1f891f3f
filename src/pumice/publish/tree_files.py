"""The files of a published tree: each changes at once, and open ones stay as they are for their readers."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.os_errors import translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MODE = 0o644
"""Web servers run as another user, whatever the umask is."""
_LOCK = ".pumice-publish"


@contextmanager
def lock_tree(directory: Path) -> Iterator[None]:
    """Create the directory, and let no other process publish to it meanwhile; raises StoreError."""
    with translate_os_errors(str(directory)):
        ownership.make_directories(directory)
    with files.FileLock(str(directory / _LOCK)):
        yield


def write_file(path: Path, data: bytes) -> bool:
    """Write a small file unless it has this content already, and return whether it is new."""
    with translate_os_errors(str(path)):
        ownership.make_directories(path.parent)
        try:
            if path.read_bytes() == data:
                return False
        except FileNotFoundError:
            pass
    files.replace(path, data, mode=_MODE)
    return True


def install_file(scratch: Path, path: Path) -> None:
    """Give a complete file its name, durably; it must be on the same file system. Raises StoreError."""
    with translate_os_errors(str(path)):
        ownership.make_directories(path.parent)
        scratch.chmod(_MODE)
        _sync(scratch, os.O_RDONLY)
        scratch.replace(path)
        _sync(path.parent, os.O_RDONLY | os.O_DIRECTORY)


def link_file(path: Path, alias: Path) -> None:
    """Give a file another name at once, replacing another file of that name; raises StoreError."""
    scratch = alias.with_name(f".{files.scratch_name()}")
    with translate_os_errors(str(alias)):
        if alias.exists() and path.samefile(alias):
            return
        os.link(path, scratch)
        scratch.replace(alias)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
