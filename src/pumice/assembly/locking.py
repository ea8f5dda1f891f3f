"""From a recipe to its lock: used as it stands where that can be, written anew where it must.

The way of a lock that fits is short on purpose: one small file is read and nothing that can resolve
or fetch is imported.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from pumice import files
from pumice.assembly.lock_diff import diff_locks
from pumice.errors import LockError, UsageError
from pumice.recipe import lock as locks
from pumice.recipe import requirements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.assembly.connection import ArchiveConnection
    from pumice.assembly.lock_diff import LockChange
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe

UPGRADE_ALL: frozenset[str] = frozenset()
"""As ``upgrade``: every package."""


def lock_path(recipe: Path) -> Path:
    """Return where the lock of a recipe file is: beside it, ``recipe.lock`` for ``recipe.yaml``."""
    stem = recipe.stem if recipe.suffix in (".yaml", ".yml") else recipe.name
    return recipe.with_name(f"{stem}.lock")


def choose_architectures(recipe: Recipe, requested: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the Debian architectures to build: those asked for, the recipe's, or the machine's."""
    chosen = requested or recipe.archs
    if chosen:
        return tuple(dict.fromkeys(chosen))
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
) -> Lock:
    """Return the lock of ``recipe``, writing ``path`` if it has to change.

    ``upgrade`` names packages to take anew (`ALL`: every one, None: none). With ``locked`` the lock
    must fit as it stands. Raises LockError; and ResolveError, FetchError or TrustError where it has
    to be written.
    """
    if locked and upgrade is not None:
        raise UsageError("--locked and --upgrade exclude each other")
    old_lock = locks.read(path) if locked or path.exists() else None
    reason = staleness_reason(recipe, old_lock, architectures, connection.recipe_directory)
    if old_lock and not reason and upgrade is None:
        return old_lock
    if locked:
        hint = f"run 'pumice lock {recipe.path}' and commit the lock"
        raise LockError(f"the lock is stale: {reason}", where=str(path), hint=hint)
    new_lock = renew_lock(
        recipe, old_lock, connection, architectures=architectures, progress=progress, upgrade=upgrade
    )
    if new_lock != old_lock:
        files.replace(path, locks.dump(new_lock))
    report_changes(progress, path, old_lock, new_lock, reason)
    return new_lock


def renew_lock(
    recipe: Recipe,
    old_lock: Lock | None,
    connection: ArchiveConnection,
    *,
    architectures: Sequence[str],
    progress: Progress,
    upgrade: frozenset[str] | None = None,
) -> Lock:
    """Return the lock that ``recipe`` should have now; the old one if it need not change.

    Pins of ``old`` are kept where the archives still have them, numeric ids always, and the format
    until all is upgraded.
    """
    from pumice.assembly.lock_update import update_lock

    kept_architectures = dict.fromkeys(architectures)
    if old_lock:
        kept_architectures.update(
            dict.fromkeys(name for name in old_lock.packages if not recipe.archs or name in recipe.archs)
        )
    resolve_all = (
        old_lock is None
        or upgrade is not None
        or old_lock.requirements != requirements.digest_of(recipe)
        or bool(_find_changed_package(recipe, old_lock, connection.recipe_directory))
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


def staleness_reason(recipe: Recipe, lock: Lock | None, architectures: Sequence[str], folder: Path) -> str:
    """Return why a lock does not fit ``recipe`` as it is now; nothing if it does.

    ``folder`` is where the recipe's local packages are.
    """
    if lock is None:
        return "there is no lock"
    if lock.requirements != requirements.digest_of(recipe):
        return "the recipe asks for something else than when it was written"
    missing = [name for name in architectures if name not in lock.packages]
    if missing:
        return f"it has no packages for {', '.join(missing)}"
    changed = _find_changed_package(recipe, lock, folder)
    return f"the local package {changed} has changed" if changed else ""


def report_changes(
    progress: Progress, path: Path, old_lock: Lock | None, new_lock: Lock, reason: str
) -> None:
    """Say what became of a lock: how many packages were pinned, or each that changed."""
    note = progress.note
    if old_lock is None:
        counts = ", ".join(f"{len(changes)} for {name}" for name, changes in new_lock.packages.items())
        note(f"{path} written: packages pinned, {counts}")
        return
    found = diff_locks(old_lock, new_lock)
    if reason:
        note(f"{path} is locked anew, {reason}")
    for change in found:
        note(f"  {change}")
    if not found:
        note(f"{path}: no package changes")


def preview_upgrade(
    recipe: Recipe,
    path: Path,
    connection: ArchiveConnection,
    *,
    architectures: Sequence[str],
    progress: Progress,
    upgrade: frozenset[str] = UPGRADE_ALL,
) -> tuple[LockChange, ...]:
    """Return what locking again with ``upgrade`` would change; nothing is written.

    Raises LockError if there is no lock.
    """
    old_lock = locks.read(path)
    new_lock = renew_lock(
        recipe, old_lock, connection, architectures=architectures, progress=progress, upgrade=upgrade
    )
    return diff_locks(old_lock, new_lock)


def _find_changed_package(recipe: Recipe, lock: Lock, folder: Path) -> str:
    """Return the local package whose file is not the locked one.

    One that is gone counts as unchanged: the store or a bundle may have it.
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
            with files.open_regular(folder / request.file) as file:
                current_digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            continue
        if locked_digests != {current_digest}:
            return request.file
    return ""
