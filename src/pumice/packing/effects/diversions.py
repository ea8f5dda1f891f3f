"""Diversions: paths that one package takes over, and where another package's file goes instead.

Their scripts compute them, so they are a data table. Whoever merges packages into a tree applies
them; here they only become a list, and dpkg's own record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.model import parse_table, read_data
from pumice.packing.selection import merged_usr_path

if TYPE_CHECKING:
    from collections.abc import Iterable


def diversion_rows(packages: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
    """Return the diversions of ``packages`` as dpkg spells them: path, new path, package."""
    installed = frozenset(packages)
    return tuple(
        (path, target, package)
        for package, path, target in parse_table(read_data("diversions.tsv"))
        if package in installed
    )


def diversions_by_path(packages: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return, by path in the tree, the package that takes it and where others' files go."""
    return {
        merged_usr_path(path.lstrip("/")): (package, merged_usr_path(target.lstrip("/")))
        for path, target, package in diversion_rows(packages)
    }
