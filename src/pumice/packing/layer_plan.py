"""Which packages share a layer: a pure function of the set, decided before anything is read.

The default keeps what is large apart, so that an update re-ships the package that changed and
little else, and puts the many small packages into a few groups by their source package, which is
what gets updated together. Sizes count only by powers of two, so that an update that grows a
package a little moves nothing.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import LayerPolicy

GENERATED = 4
"""Layers that may come beside the packages': base, byte code, state and the recipe's files."""

_AUTO_ALONE = 28
_AUTO_GROUPS = 8
_LARGE = 256 << 10
_HUGE = 32 << 20
_MOST = 100 - GENERATED


class Group(msgspec.Struct, frozen=True):
    """Packages that share a layer; one that is ``alone`` makes the layer by itself."""

    name: str
    packages: tuple[str, ...]
    alone: bool = False


class WholeLayer(msgspec.Struct, frozen=True):
    """A finished layer: its compressed digest and size, its diff ID and plain size."""

    digest: str
    size: int
    diff_id: str
    tar_size: int


def plan(packages: Sequence[LockedPackage], policy: LayerPolicy) -> tuple[Group, ...]:
    """Return the groups for ``packages``, in the order of their layers.

    ``auto``: at most 36 layers, every package over 32 MB alone as far as they reach. ``packages``:
    one each, at most 96, the smallest together. ``single``: one group.
    """
    names = sorted(package.name for package in packages)
    if policy == "single":
        return (Group("packages", tuple(names)),) if names else ()
    ranked = sorted(packages, key=lambda package: (-_weight(package), package.name))
    if policy == "packages":
        alone = ranked if len(ranked) <= _MOST else ranked[: _MOST - 1]
        groups = {"small packages": sorted(package.name for package in ranked[len(alone) :])}
    else:
        huge = sum(package.size >= _HUGE for package in ranked)
        large = sum(package.size >= _LARGE for package in ranked)
        alone = ranked[: min(large, max(_AUTO_ALONE, min(huge, _AUTO_ALONE + _AUTO_GROUPS - 1)))]
        groups = _by_source(ranked[len(alone) :], _AUTO_ALONE + _AUTO_GROUPS - len(alone))
    lone = [Group(package.name, (package.name,), alone=True) for package in alone]
    return (*lone, *(Group(name, tuple(groups[name])) for name in sorted(groups) if groups[name]))


def _weight(package: LockedPackage) -> int:
    return package.size.bit_length()


def _by_source(packages: Sequence[LockedPackage], most: int) -> dict[str, list[str]]:
    count = min(most, _AUTO_GROUPS)
    groups: dict[str, list[str]] = {}
    for package in sorted(packages, key=lambda package: package.name):
        source = package.source or package.name
        number = hashlib.sha256(source.encode()).digest()[0] % count
        groups.setdefault(f"small packages {number + 1}", []).append(package.name)
    return groups
