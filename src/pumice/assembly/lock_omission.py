"""The members of a lock that say which packages a build may leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.omission import KEEP_ALL
from pumice.omission import tables

if TYPE_CHECKING:
    from collections.abc import Collection

    from pumice.progress import Progress
    from pumice.recipe.lock import Lock, LockedPackage
    from pumice.recipe.model import Recipe

_FIRST_FORMAT = 2


def add_omission(
    lock: Lock, recipe: Recipe, resolved: Collection[str], old_lock: Lock | None, progress: Progress
) -> Lock:
    """Return ``lock`` with what may be left out on the architectures ``resolved``, else as in ``old_lock``.

    What the last build left out stays recorded, as far as the packages are still there. A lock of an older
    format keeps everything.
    """
    if lock.format < _FIRST_FORMAT:
        return lock
    omittable: dict[str, tuple[str, ...]] = {}
    without: dict[str, tuple[str, ...]] = {}
    omitted: dict[str, tuple[str, ...]] = {}
    for architecture, packages in lock.packages.items():
        if old_lock:
            locked_names = _installed_names(packages)
            omitted[architecture] = tuple(
                name for name in old_lock.omitted.get(architecture, ()) if name in locked_names
            )
        if architecture in resolved:
            names = _installed_names(packages)
            omittable[architecture] = tables.find_omittable(names)
            without[architecture] = _expand(recipe, names, progress)
        elif old_lock:
            omittable[architecture] = old_lock.omittable.get(architecture, ())
            without[architecture] = old_lock.without.get(architecture, ())
    return msgspec.structs.replace(
        lock,
        omittable={name: rows for name, rows in omittable.items() if rows},
        without={name: rows for name, rows in without.items() if rows},
        omitted={name: rows for name, rows in omitted.items() if rows},
    )


def _installed_names(packages: Collection[LockedPackage]) -> frozenset[str]:
    return frozenset(package.name for package in packages if package.role != "base-data")


def _expand(recipe: Recipe, names: frozenset[str], progress: Progress) -> tuple[str, ...]:
    """Return the packages that ``without`` names; names of no package, also in ``keep``, are reported."""
    packages: set[str] = set()
    for name in recipe.without:
        members = tables.expand_family(name, names)
        if not members:
            progress.note(f"'without': no package of the image is {name!r}")
        packages.update(members)
    for name in recipe.keep:
        if name not in names and name != KEEP_ALL:
            progress.note(f"'keep': no package of the image is {name!r}")
    return tuple(sorted(packages))
