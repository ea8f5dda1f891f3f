"""Plans which packages share a layer: a pure function of the set of packages.

By default large packages have a layer each, so that an update re-ships little else than the changed
package. The many small packages form a few groups by source package, because packages of one source
are updated together. Sizes are rounded to powers of two, so that a small change of a package's size
does not change the plan.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import LayerPolicy

GENERATED_LAYERS = 4
"""The number of layers without packages: base, byte code, state and the recipe's files."""

_AUTO_OWN_LAYERS = 28
_AUTO_GROUPS = 8
_LARGE = 256 << 10
_HUGE = 32 << 20
_MAX_PACKAGE_LAYERS = 100 - GENERATED_LAYERS


class LayerGroup(msgspec.Struct, frozen=True):
    """Packages that share a layer; with ``has_own_layer`` exactly one package."""

    name: str
    packages: tuple[str, ...]
    has_own_layer: bool = False


class LayerDigests(msgspec.Struct, frozen=True):
    """The digest and size in bytes of a layer, compressed and (``diff_id``, ``tar_size``) uncompressed."""

    digest: str
    size: int
    diff_id: str
    tar_size: int


def plan_layers(packages: Sequence[LockedPackage], policy: LayerPolicy) -> tuple[LayerGroup, ...]:
    """Return the groups of ``packages``, in the order of their layers.

    ``auto`` gives at most 36 layers, with one for each package over 32 MB if there are enough.
    ``packages`` gives each package a layer, at most 96 in all, the smallest packages sharing one.
    ``single`` gives one group.
    """
    names = sorted(package.name for package in packages)
    if policy == "single":
        return (LayerGroup("packages", tuple(names)),) if names else ()
    ranked = sorted(packages, key=lambda package: (-_compute_weight(package), package.name))
    if policy == "packages":
        own_layer_packages = (
            ranked if len(ranked) <= _MAX_PACKAGE_LAYERS else ranked[: _MAX_PACKAGE_LAYERS - 1]
        )
        groups = {"small packages": sorted(package.name for package in ranked[len(own_layer_packages) :])}
    else:
        huge_count = sum(package.size >= _HUGE for package in ranked)
        large_count = sum(package.size >= _LARGE for package in ranked)
        own_layer_packages = ranked[
            : min(large_count, max(_AUTO_OWN_LAYERS, min(huge_count, _AUTO_OWN_LAYERS + _AUTO_GROUPS - 1)))
        ]
        groups = _group_by_source(
            ranked[len(own_layer_packages) :], _AUTO_OWN_LAYERS + _AUTO_GROUPS - len(own_layer_packages)
        )
    own_layers = [
        LayerGroup(package.name, (package.name,), has_own_layer=True) for package in own_layer_packages
    ]
    return (*own_layers, *(LayerGroup(name, tuple(groups[name])) for name in sorted(groups) if groups[name]))


def keep_packages(groups: Sequence[LayerGroup], names: Container[str]) -> tuple[LayerGroup, ...]:
    """Return the groups without the packages that are not in ``names``; empty groups are left out."""
    reduced = (
        msgspec.structs.replace(group, packages=tuple(name for name in group.packages if name in names))
        for group in groups
    )
    return tuple(group for group in reduced if group.packages)


def _compute_weight(package: LockedPackage) -> int:
    return package.size.bit_length()


def _group_by_source(packages: Sequence[LockedPackage], limit: int) -> dict[str, list[str]]:
    count = min(limit, _AUTO_GROUPS)
    groups: dict[str, list[str]] = {}
    for package in sorted(packages, key=lambda package: package.name):
        source = package.source or package.name
        number = hashlib.sha256(source.encode()).digest()[0] % count
        groups.setdefault(f"small packages {number + 1}", []).append(package.name)
    return groups
