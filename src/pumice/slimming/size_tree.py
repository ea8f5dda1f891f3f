"""The size of files by directory, as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class SizedDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """A directory or file: its absolute path, and the number and size in bytes of files at and below it."""

    path: str
    files: int
    size: int
    below: tuple[SizedDirectory, ...] = ()


def make_size_tree(sizes: Iterable[tuple[str, int]], depth: int) -> SizedDirectory:
    """Return the tree of files (paths without a slash in front), ``depth`` levels deep, the largest first."""
    return _make_branch("", [(path.split("/"), size) for path, size in sizes], depth)


def _make_branch(path: str, files: list[tuple[list[str], int]], depth: int) -> SizedDirectory:
    groups: dict[str, list[tuple[list[str], int]]] = {}
    for parts, size in files:
        if parts:
            groups.setdefault(parts[0], []).append((parts[1:], size))
    branches = (
        [_make_branch(f"{path}/{name}", members, depth - 1) for name, members in groups.items()]
        if depth > 0
        else []
    )
    branches.sort(key=lambda branch: (-branch.size, branch.path))
    return SizedDirectory(
        path=path or "/", files=len(files), size=sum(size for _, size in files), below=tuple(branches)
    )
