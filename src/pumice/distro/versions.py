"""The order of package versions: what modules outside of `pumice.distro.debian` need to know about it.

Debian is the only distribution so far, so its order is the one used. A second distribution is chosen here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.debian.version import check_version, compare_versions, sort_key, upstream_version

if TYPE_CHECKING:
    from pumice.formats.relations import Relation

__all__ = ["check_version", "compare_versions", "sort_key", "upstream_version", "version_satisfies"]

_ACCEPTED_ORDERS = {"": (-1, 0, 1), "<<": (-1,), "<=": (-1, 0), "=": (0,), ">=": (0, 1), ">>": (1,)}


def version_satisfies(version: str, relation: Relation) -> bool:
    """Return whether ``version`` is in the range that ``relation`` accepts (Debian Policy 7.1)."""
    if not relation.operator or (relation.operator == "=" and version == relation.version):
        return True
    return compare_versions(version, relation.version) in _ACCEPTED_ORDERS[relation.operator]
