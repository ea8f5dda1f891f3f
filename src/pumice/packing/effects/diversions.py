"""Diversions: paths that one package takes over, and where another package's file goes instead.

Their scripts compute them, so they are a data table. Whoever merges packages into a tree applies
them; here they only become a list, and dpkg's own record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.model import data, table
from pumice.packing.selection import place

if TYPE_CHECKING:
    from collections.abc import Iterable


def rows(packages: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
    """Return the diversions of ``packages`` as dpkg spells them: path, new path, package."""
    installed = frozenset(packages)
    return tuple(
        (path, target, package)
        for package, path, target in table(data("diversions.tsv"))
        if package in installed
    )


def diversions(packages: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return, by path in the tree, the package that takes it and where others' files go."""
    return {
        place(path.lstrip("/")): (package, place(target.lstrip("/")))
        for path, target, package in rows(packages)
    }
