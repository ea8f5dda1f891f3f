"""From a recipe to its built image: the lock is used or renewed, the image built, its ids recorded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.assembly.context import BuildContext, default_processors
from pumice.assembly.image import build_image, save_build_record, with_build_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.assembly.connection import SharedArchives
    from pumice.assembly.cutting_pool import CuttingPool
    from pumice.assembly.image import BuiltImage
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home


MAX_ROUNDS = 10


class BuildSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a build takes besides its recipe.

    ``architectures`` are Debian's names. With ``locked`` a missing or stale lock is an error, and the
    lock is not written. ``bundle`` is a directory of packages that is tried before the mirrors.
    ``source_date_epoch`` and ``rounds`` are as in `BuildContext`, ``recipe_text`` as in `build_image`.
    """

    architectures: tuple[str, ...]
    locked: bool = False
    offline: bool = False
    bundle: Path | None = None
    source_date_epoch: int | None = None
    recipe_text: str | None = None
    rounds: int = 1


class SharedWork(msgspec.Struct, frozen=True):
    """What the builds of several recipes share: indexes and connections, and the threads that cut."""

    archives: SharedArchives
    cutting_pool: CuttingPool


class RecipeBuild(msgspec.Struct, frozen=True):
    """The recipe with its version known, the lock that an image was built from, and the image."""

    recipe: Recipe
    lock: Lock
    image: BuiltImage


def lock_recipe(
    recipe: Recipe,
    settings: BuildSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
    shared: SharedWork | None = None,
) -> Lock:
    """Return the lock of ``recipe``, written beside it if it changed; raises PumiceError."""
    with _connect(recipe, settings, home, environ, progress, shared) as connection:
        return _ensure_lock(recipe, settings, connection, progress)


def build_recipe(
    recipe: Recipe,
    settings: BuildSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
    shared: SharedWork | None = None,
) -> RecipeBuild:
    """Build the image of ``recipe`` in the store, and write the lock beside the recipe if it changed.

    ``shared`` is that of a command that builds several recipes. No reference of the store points to the
    image yet. Raises PumiceError.
    """
    path = locking.lock_path(Path(recipe.path))
    with _connect(recipe, settings, home, environ, progress, shared) as connection:
        lock = _ensure_lock(recipe, settings, connection, progress)
        if recipe.version_from:
            from pumice.assembly.package_version import resolve_version

            recipe = resolve_version(recipe, lock.packages, settings.architectures)
        context = BuildContext(
            home=home,
            fetch_package=lambda package: connection.fetch_package(package, lock),
            processors=default_processors(),
            progress=progress,
            cutting_pool=shared.cutting_pool if shared else None,
            source_date_epoch=settings.source_date_epoch,
            rounds=settings.rounds,
        )
        image = build_image(
            *(recipe, lock, settings.architectures, context),
            locked=settings.locked,
            recipe_text=settings.recipe_text,
        )
    if settings.locked:
        _report_other_omission(lock, with_build_record(lock, image.platforms), progress)
    else:
        save_build_record(lock, path, image)
    return RecipeBuild(recipe, lock, image)


def _connect(
    recipe: Recipe,
    settings: BuildSettings,
    home: Home,
    environ: Mapping[str, str],
    progress: Progress,
    shared: SharedWork | None,
) -> ArchiveConnection:
    return ArchiveConnection(
        *(recipe, home, environ),
        offline=settings.offline,
        progress=progress,
        bundle=settings.bundle,
        archives=shared.archives if shared else None,
    )


def _ensure_lock(
    recipe: Recipe, settings: BuildSettings, connection: ArchiveConnection, progress: Progress
) -> Lock:
    return locking.ensure_lock(
        recipe,
        locking.lock_path(Path(recipe.path)),
        connection,
        architectures=settings.architectures,
        locked=settings.locked,
        progress=progress,
    )


def _report_other_omission(lock: Lock, new_lock: Lock, progress: Progress) -> None:
    """Report where a locked build left out other packages than the lock records."""
    for architecture, names in lock.omitted.items():
        left_out = set(new_lock.omitted.get(architecture, ()))
        changes = [*(f"+{name}" for name in sorted(left_out - {*names}))]
        changes += [f"-{name}" for name in sorted({*names} - left_out)]
        if changes:
            progress.note(
                f"left out other packages than the lock records for {architecture}: {', '.join(changes)}; "
                "'pumice build' without --locked records it"
            )
