"""What a program changed in an unpacked tree, by comparing the state of every file before and after.

The tree is as untrusted as the image: no link in it is followed, and nothing in it is opened here.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from pumice.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_MAX_PATHS = 2_000_000
_MAX_PATH = 4095


class FileState(NamedTuple):
    """What shows that a file changed. Programs cannot set the change time ``ctime_ns``.

    For a directory the two times are 0: they change with every file in it.
    """

    inode: int
    mode: int
    size: int
    mtime_ns: int
    ctime_ns: int


TreeState = dict[str, FileState]
"""The files and directories of a tree, by path relative to its root."""


class TreeChanges(NamedTuple):
    """Paths that were added or changed, and those that were removed; both sorted."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]


def read_state(root: Path) -> TreeState:
    """Return the state of all files and directories below ``root``.

    Directories that this user cannot read become readable. Raises OSError, and ImageError for a tree that
    is too large or too deep.
    """
    state: TreeState = {}
    pending = [""]
    while pending:
        directory = pending.pop()
        for path, status in _list_directory(root, directory):
            is_directory = stat.S_ISDIR(status.st_mode)
            if is_directory:
                pending.append(path)
            state[path] = (
                FileState(0, status.st_mode, 0, 0, 0)
                if is_directory
                else FileState(
                    status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns
                )
            )
        if len(state) > _MAX_PATHS:
            raise ImageError(f"the image has more than {_MAX_PATHS} files")
    return state


def _list_directory(root: Path, directory: str) -> Iterator[tuple[str, os.stat_result]]:
    absolute = os.path.join(root, directory)
    try:
        entries = list(os.scandir(absolute))
    except PermissionError:
        os.chmod(absolute, 0o700)
        entries = list(os.scandir(absolute))
    for entry in entries:
        path = f"{directory}/{entry.name}" if directory else entry.name
        if len(path) > _MAX_PATH:
            raise ImageError(f"the path {path[:80]!r}... is longer than {_MAX_PATH} bytes")
        yield path, entry.stat(follow_symlinks=False)


def compare_states(before: Mapping[str, FileState], after: Mapping[str, FileState]) -> TreeChanges:
    """Return the differences between two states of one tree."""
    return TreeChanges(
        tuple(sorted(path for path, state in after.items() if before.get(path) != state)),
        tuple(sorted(before.keys() - after.keys())),
    )
