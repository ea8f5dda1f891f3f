"""Relationships between packages that decide whose file is whose (Debian Policy 7.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pumice.packing.tree import PackageFacts

_ORDER = {"": (0,), "<<": (-1,), "<=": (-1, 0), "=": (0,), ">=": (0, 1), ">>": (1,)}


def replaces(package: PackageFacts, other: PackageFacts) -> bool:
    """Whether ``package`` may take over files of ``other``, by its field ``Replaces``."""
    from pumice.distro.debian import version
    from pumice.formats import relations

    return any(
        relation.name == other.name
        and version.compare(other.version, relation.version or other.version) in _ORDER[relation.operator]
        for relation in relations.parse_flat_relations(package.fields.get("Replaces", ""))
    )
