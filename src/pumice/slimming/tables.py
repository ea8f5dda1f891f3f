"""The data tables of slimming: what programs load by names that they compute, and what always stays."""

from __future__ import annotations

import functools
from fnmatch import fnmatchcase
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def find_companions(path: str) -> Iterator[tuple[str, ...]]:
    """Yield patterns of directories that the program or library at ``path`` loads from."""
    for pattern, directories in _read("companions.tsv"):
        if fnmatchcase(path, pattern):
            yield tuple(directories.split())


def find_keep_reason(path: str) -> str:
    """Return why a path stays although nothing names it; empty if it does not."""
    return next((reason for pattern, reason in _read("kept.tsv") if fnmatchcase(path, pattern)), "")


@functools.lru_cache(maxsize=4096)
def is_common_directory(path: str) -> bool:
    """Whether many packages share a directory, so that its name is no use of what is in it."""
    return any(fnmatchcase(path, pattern) and _depth(path) == _depth(pattern) for (pattern,) in _common())


def _common() -> tuple[tuple[str, ...], ...]:
    return _read("common_directories.txt")


def _depth(path: str) -> int:
    return path.count("/")


@functools.lru_cache
def _read(name: str) -> tuple[tuple[str, ...], ...]:
    text = resources.files("pumice.slimming").joinpath(f"data/{name}").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(tuple(line.split("\t")) for line in lines)
