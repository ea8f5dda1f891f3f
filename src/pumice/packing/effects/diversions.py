"""Diversions: paths that one package takes over, and the new paths of other packages' files.

Package scripts compute diversions, so they come from a data table. `pumice.packing.merge` applies
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.model import parse_table, read_data
from pumice.packing.selection import merged_usr_path

if TYPE_CHECKING:
    from collections.abc import Iterable


def diversion_rows(packages: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
    """Return the diversions of ``packages`` as dpkg records them: (path, new path, package)."""
    installed = frozenset(packages)
    return tuple(
        (path, target, package)
        for package, path, target in parse_table(read_data("diversions.tsv"))
        if package in installed
    )


def diversions_by_path(packages: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return, by path in the tree, the diverting package and the new path of other packages' files."""
    return {
        merged_usr_path(path.lstrip("/")): (package, merged_usr_path(target.lstrip("/")))
        for path, target, package in diversion_rows(packages)
    }
