"""From a recipe to its lock: used as it stands where that can be, written anew where it must.

The way of a lock that fits is short on purpose: one small file is read and nothing that can resolve
or fetch is imported.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from pumice import files
from pumice.assembly.lock_diff import lock_changes
from pumice.errors import LockError, UsageError
from pumice.recipe import lock as locks
from pumice.recipe import requirements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.assembly.connection import Connection
    from pumice.assembly.lock_diff import Change
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe

ALL: frozenset[str] = frozenset()
"""As ``upgrade``: every package."""


def beside(recipe: Path) -> Path:
    """Return where the lock of a recipe file is: beside it, ``recipe.lock`` for ``recipe.yaml``."""
    stem = recipe.stem if recipe.suffix in (".yaml", ".yml") else recipe.name
    return recipe.with_name(f"{stem}.lock")


def architectures(recipe: Recipe, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the Debian architectures to build: those asked for, the recipe's, or the machine's."""
    chosen = asked or recipe.archs
    if chosen:
        return tuple(dict.fromkeys(chosen))
    from pumice.formats import platforms

    return (platforms.to_debian(platforms.from_machine(os.uname().machine)),)


def ensure(
    recipe: Recipe,
    path: Path,
    connection: Connection,
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
    old = locks.read(path) if locked or path.exists() else None
    reason = stale(recipe, old, architectures, connection.recipe_dir)
    if old and not reason and upgrade is None:
        return old
    if locked:
        hint = f"run 'pumice lock {recipe.path}' and commit the lock"
        raise LockError(f"the lock is stale: {reason}", where=str(path), hint=hint)
    new = renew(recipe, old, connection, architectures=architectures, progress=progress, upgrade=upgrade)
    if new != old:
        files.replace(path, locks.dump(new))
    tell(progress, path, old, new, reason)
    return new


def renew(
    recipe: Recipe,
    old: Lock | None,
    connection: Connection,
    *,
    architectures: Sequence[str],
    progress: Progress,
    upgrade: frozenset[str] | None = None,
) -> Lock:
    """Return the lock that ``recipe`` should have now; the old one if it need not change.

    Pins of ``old`` are kept where the archives still have them, numeric ids always, and the format
    until all is upgraded.
    """
    from pumice.assembly.lock_update import relock

    kept = dict.fromkeys(architectures)
    if old:
        kept.update(dict.fromkeys(name for name in old.packages if not recipe.archs or name in recipe.archs))
    everything = (
        old is None
        or upgrade is not None
        or old.requirements != requirements.digest_of(recipe)
        or bool(_changed_file(recipe, old, connection.recipe_dir))
    )
    again = [name for name in sorted(kept) if everything or old is None or name not in old.packages]
    return relock(recipe, old, connection, again=again, kept=sorted(kept), progress=progress, upgrade=upgrade)


def stale(recipe: Recipe, lock: Lock | None, architectures: Sequence[str], folder: Path) -> str:
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
    changed = _changed_file(recipe, lock, folder)
    return f"the local package {changed} has changed" if changed else ""


def tell(progress: Progress, path: Path, old: Lock | None, new: Lock, reason: str) -> None:
    """Say what became of a lock: how many packages were pinned, or each that changed."""
    note = progress.note
    if old is None:
        counts = ", ".join(f"{len(found)} for {name}" for name, found in new.packages.items())
        note(f"{path} written: packages pinned, {counts}")
        return
    found = lock_changes(old, new)
    if reason:
        note(f"{path} is locked anew, {reason}")
    for change in found:
        note(f"  {change}")
    if not found:
        note(f"{path}: no package changes")


def check(
    recipe: Recipe,
    path: Path,
    connection: Connection,
    *,
    architectures: Sequence[str],
    progress: Progress,
    upgrade: frozenset[str] = ALL,
) -> tuple[Change, ...]:
    """Return what locking again with ``upgrade`` would change; nothing is written.

    Raises LockError if there is no lock.
    """
    old = locks.read(path)
    new = renew(recipe, old, connection, architectures=architectures, progress=progress, upgrade=upgrade)
    return lock_changes(old, new)


def _changed_file(recipe: Recipe, lock: Lock, folder: Path) -> str:
    """Return the local package whose file is not the locked one.

    One that is gone counts as unchanged: the store or a bundle may have it.
    """
    for request in recipe.packages:
        if not request.file or request.exclude:
            continue
        pinned = {
            package.sha256
            for found in lock.packages.values()
            for package in found
            if package.role == "local" and package.path == request.file
        }
        try:
            with files.open_regular(folder / request.file) as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            continue
        if pinned != {actual}:
            return request.file
    return ""
