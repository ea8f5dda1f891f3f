"""The relationship ``Replaces``, which decides who owns a shared path (Debian Policy 7.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pumice.packing.tree import PackageFacts


def replaces(package: PackageFacts, other_package: PackageFacts) -> bool:
    """Whether ``package`` may take over files of ``other_package``, by its field ``Replaces``."""
    from pumice.distro.versions import version_satisfies
    from pumice.formats import relations

    return any(
        relation.name == other_package.name and version_satisfies(other_package.version, relation)
        for relation in relations.parse_flat_relations(package.fields.get("Replaces", ""))
    )
