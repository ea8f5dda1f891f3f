"""The slices of a recipe: their release, and the packages that they are parts of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import FetchError
from pumice.slices import closure
from pumice.slices.release import load_release, read_files
from pumice.slices.releases import find_release
from pumice.slices.selection import collect_packages

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.distro.universe import Universe
    from pumice.formats.aptindex import PackageRecord
    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import Recipe
    from pumice.slices.model import Release, Slice
    from pumice.store.home import Home


def load_recipe_release(recipe: Recipe, home: Home | None = None) -> Release:
    """Return the release of a recipe's slices; raises SliceError, StoreError or UsageError."""
    location, overlays = _locate(recipe)
    return load_release(location, overlays, home)


def release_digest(recipe: Recipe) -> Digest:
    """Return the digest of the release of a recipe's slices, which is not checked; empty without slices."""
    return read_files(*_locate(recipe)).digest if recipe.selected_slices else ""


def _locate(recipe: Recipe) -> tuple[Path, list[Path]]:
    """Return the paths of the release and its overlays; the default is that of the recipe's suite."""
    directory = Path(recipe.path).parent
    location = find_release(recipe.slices.release or recipe.origin.debian, directory)
    return location, [directory / path for path in recipe.slices.overlay]


def select_slices(recipe: Recipe, release: Release, architecture: str) -> list[Slice]:
    """Return the slices that a recipe selects, and those that they require; raises UsageError."""
    return closure.select(release, recipe.selected_slices, architecture)


def find_records(
    release: Release,
    slices: Sequence[Slice],
    universe: Universe,
    whole: Collection[str],
    pins: Mapping[str, LockedPackage],
) -> list[PackageRecord]:
    """Return the packages that ``slices`` are parts of, except those that the image has as a ``whole``.

    The version is that of ``pins`` if the archives still have it. A package whose definition names an archive
    comes from the recipe's archive with this name, if that has it. Dependencies do not count: slices
    require other slices. Raises FetchError with all packages that are missing.
    """
    records: list[PackageRecord] = []
    missing: list[str] = []
    for name in collect_packages(slices):
        if name in whole:
            continue
        record = _choose(name, release.packages[name].archive, universe, pins.get(name))
        if record is None:
            missing.append(name)
        else:
            records.append(record)
    if missing:
        raise FetchError(f"no archive has {', '.join(sorted(missing))}, which slices are parts of")
    return records


def _choose(name: str, archive: str, universe: Universe, pin: LockedPackage | None) -> PackageRecord | None:
    records = universe.versions(name)
    records = [record for record in records if record.suite.partition("/")[0] == archive] or records
    if pin:
        pinned = next((record for record in records if record.version == pin.version), None)
        if pinned:
            return pinned
    return max(records, key=lambda record: universe.priority(record, requested=True), default=None)
