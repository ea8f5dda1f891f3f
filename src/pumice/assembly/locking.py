"""From a recipe to its lock: used as it is if it is current, updated if it is stale.

A current lock costs the reading of one small file. Nothing that resolves or fetches is imported then.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from pumice import files
from pumice.errors import LockError, UsageError
from pumice.recipe import arguments, lock_reader, requirements
from pumice.recipe import lock as locks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pumice.assembly.connection import ArchiveConnection
    from pumice.assembly.lock_diff import LockChange, LockUpdate
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe

UPGRADE_ALL: frozenset[str] = frozenset()
"""The value of ``upgrade`` that upgrades every package."""


def lock_path(recipe: Path) -> Path:
    """Return the path of a recipe's lock, in the same directory: ``recipe.lock`` for ``recipe.yaml``."""
    stem = recipe.stem if recipe.suffix in (".yaml", ".yml") else recipe.name
    return recipe.with_name(f"{stem}.lock")


def choose_architectures(recipe: Recipe, requested: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the Debian architectures to build: ``requested``, else the recipe's, else the machine's."""
    architectures = requested or recipe.archs
    if architectures:
        return tuple(dict.fromkeys(architectures))
    from pumice.formats import platforms

    return (platforms.to_debian(platforms.from_machine(os.uname().machine)),)


def ensure_lock(
    recipe: Recipe,
    path: Path,
    connection: ArchiveConnection,
    *,
    architectures: Sequence[str],
    progress: Progress,
    locked: bool = False,
    upgrade: frozenset[str] | None = None,
    report: Callable[[LockUpdate], None] | None = None,
) -> Lock:
    """Return the lock of ``recipe``, written to ``path`` if it changed.

    ``upgrade`` names packages to upgrade (`UPGRADE_ALL`: all of them, None: none). With ``locked`` a
    missing or stale lock is an error. ``report`` is called if the lock was not current (default: a note in
    one line). Raises LockError; if the lock must change, also ResolveError, FetchError or TrustError.
    """
    if locked and upgrade is not None:
        raise UsageError("cannot use --locked with --upgrade")
    old_lock = lock_reader.read_lock(path) if locked or path.exists() else None
    reason = staleness_reason(recipe, old_lock, architectures, connection.recipe_directory)
    if old_lock and not reason and upgrade is None:
        return old_lock
    if locked:
        raise LockError(f"the lock is stale: {reason}", where=str(path), hint=_stale_hint(recipe, old_lock))
    new_lock = renew_lock(
        recipe, old_lock, connection, architectures=architectures, progress=progress, upgrade=upgrade
    )
    if new_lock != old_lock:
        files.replace(path, locks.encode_lock(new_lock))
    from pumice.assembly.lock_diff import LockUpdate

    update = LockUpdate(path, old_lock, new_lock, reason)
    if report:
        report(update)
    else:
        progress.note(str(update))
    return new_lock


def _stale_hint(recipe: Recipe, lock: Lock | None) -> str:
    """Return how to get a lock that is current."""
    if lock and lock.args != recipe.args:
        return (
            "pass --arg as for the lock,"
            f" or run 'pumice lock {recipe.path}' with the same --arg and commit the lock"
        )
    return f"run 'pumice lock {recipe.path}' and commit the lock"


def renew_lock(
    recipe: Recipe,
    old_lock: Lock | None,
    connection: ArchiveConnection,
    *,
    architectures: Sequence[str],
    progress: Progress,
    upgrade: frozenset[str] | None = None,
) -> Lock:
    """Return a current lock for ``recipe``, which is ``old_lock`` if nothing changed.

    Packages of ``old_lock`` are kept if the archives still have them, its user and group ids always,
    and its format until everything is upgraded.
    """
    from pumice.assembly.lock_update import update_lock

    kept_architectures = dict.fromkeys(architectures)
    if old_lock:
        kept_architectures.update(
            dict.fromkeys(name for name in old_lock.packages if not recipe.archs or name in recipe.archs)
        )
    resolve_all = upgrade is not None or _has_other_requirements(
        recipe, old_lock, connection.recipe_directory
    )
    resolve_architectures = [
        name
        for name in sorted(kept_architectures)
        if resolve_all or old_lock is None or name not in old_lock.packages
    ]
    return update_lock(
        recipe,
        old_lock,
        connection,
        resolve_architectures=resolve_architectures,
        architectures=sorted(kept_architectures),
        progress=progress,
        upgrade=upgrade,
    )


def _has_other_requirements(recipe: Recipe, lock: Lock | None, directory: Path) -> bool:
    """Return whether a recipe asks for other packages than when it was locked."""
    return (
        lock is None
        or lock.requirements != requirements.requirements_digest(recipe)
        or lock.slices != _find_slices_digest(recipe)
        or bool(_find_changed_package(recipe, lock, directory))
    )


def staleness_reason(recipe: Recipe, lock: Lock | None, architectures: Sequence[str], directory: Path) -> str:
    """Return why a lock does not fit ``recipe``, empty if it does.

    ``directory`` is the directory that the recipe's local packages are relative to.
    """
    if lock is None:
        return "the lock does not exist"
    if changes := arguments.describe_changes(lock.args, recipe.args):
        return f"recipe arguments changed: {changes}"
    if lock.requirements != requirements.requirements_digest(recipe):
        return "recipe changed"
    if lock.slices != _find_slices_digest(recipe):
        return "the definitions of slices changed"
    missing = [name for name in architectures if name not in lock.packages]
    if missing:
        return f"no packages for {', '.join(missing)} yet"
    changed_package = _find_changed_package(recipe, lock, directory)
    return f"the local package {changed_package} has changed" if changed_package else ""


def _find_slices_digest(recipe: Recipe) -> str:
    if not recipe.selected_slices:
        return ""
    from pumice.assembly.recipe_slices import release_digest

    return release_digest(recipe)


def preview_upgrade(
    recipe: Recipe,
    path: Path,
    connection: ArchiveConnection,
    *,
    architectures: Sequence[str],
    progress: Progress,
    upgrade: frozenset[str] = UPGRADE_ALL,
) -> tuple[LockChange, ...]:
    """Return what an upgrade of ``upgrade`` would change, without writing the lock.

    Raises LockError if there is no lock, and ResolveError, FetchError or TrustError.
    """
    old_lock = lock_reader.read_lock(path)
    new_lock = renew_lock(
        recipe, old_lock, connection, architectures=architectures, progress=progress, upgrade=upgrade
    )
    from pumice.assembly.lock_diff import diff_locks

    return diff_locks(old_lock, new_lock)


def _find_changed_package(recipe: Recipe, lock: Lock, directory: Path) -> str:
    """Return the first local package whose file differs from the lock, empty if there is none.

    A missing file counts as unchanged, because the store or a bundle may have it.
    """
    for request in recipe.packages:
        if not request.file or request.exclude:
            continue
        locked_digests = {
            package.sha256
            for packages in lock.packages.values()
            for package in packages
            if package.role == "local" and package.path == request.file
        }
        try:
            with files.open_regular(directory / request.file) as file:
                current_digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            continue
        if locked_digests != {current_digest}:
            return request.file
    return ""
