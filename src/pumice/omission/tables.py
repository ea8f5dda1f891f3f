"""The data tables of omission: install tools, families of packages, and the exceptions."""

from __future__ import annotations

import functools
from fnmatch import fnmatchcase
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

SEPARATOR = ">"
"""Between the two names of a row about one dependency, such as ``nginx-common>iproute2``."""


@functools.lru_cache
def reasons() -> dict[str, str]:
    """Return the table of install tools: why package scripts alone use a package or a dependency."""
    return {row[0]: row[1] for row in _rows("install_tools.tsv")}


def find_omittable(names: Collection[str]) -> tuple[str, ...]:
    """Return the rows of the table that apply to an image with the packages ``names``, sorted."""
    return tuple(sorted(row for row in reasons() if all(name in names for name in row.split(SEPARATOR))))


def hidden_uses(package: str) -> Iterator[tuple[str, str]]:
    """Yield the tools that a package uses in a way that no file shows, and how."""
    for pattern, tool, how in _rows("hidden_uses.tsv"):
        if fnmatchcase(package, pattern):
            yield tool, how


def expand_family(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the packages among ``names`` that ``name`` stands for: those of a family, or itself."""
    patterns = {row[0]: row[1].split() for row in _rows("families.tsv")}.get(name, [name])
    return tuple(sorted(other for other in names if any(fnmatchcase(other, pattern) for pattern in patterns)))


def families() -> tuple[str, ...]:
    """Return the names of all families."""
    return tuple(row[0] for row in _rows("families.tsv"))


def kept_paths(package: str) -> tuple[str, ...]:
    """Return the files of an install tool that stay where it is left out."""
    return tuple(path for name, path in _rows("kept_files.tsv") if name == package)


def is_unused_path(package: str, program: str) -> bool:
    """Whether the path of ``program`` in ELF files of ``package`` only says how they were built."""
    return any(
        fnmatchcase(package, pattern) and path == program for pattern, path in _rows("unused_paths.tsv")
    )


@functools.lru_cache
def _read(name: str) -> tuple[tuple[str, ...], ...]:
    text = resources.files("pumice.omission").joinpath(f"data/{name}").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return tuple(tuple(line.split("\t")) for line in lines)


def _rows(name: str) -> Iterator[tuple[str, ...]]:
    return iter(_read(name))
