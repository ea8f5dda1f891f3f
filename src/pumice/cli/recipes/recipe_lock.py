"""The lock of one recipe: write or preview it as the options of ``pumice lock`` say, and describe it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import locking
from pumice.assembly.lock_diff import LockChange, LockUpdate, diff_locks, diff_packages
from pumice.cli.display import output
from pumice.cli.display.summaries import Summary
from pumice.recipe import lock_reader
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.assembly.connection import ArchiveConnection
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe

_MAX_LISTED = 20
"""The most changes that are listed without ``--verbose``."""


class LockResult(msgspec.Struct, frozen=True, kw_only=True):
    """A lock: its absolute ``path``, and the number of packages of each Debian architecture.

    ``written`` says whether the file was written, ``reason`` why it no longer fitted the recipe. ``changes``
    are those since the lock that was there before; with ``--check``, those that an upgrade would make.
    """

    path: str
    written: bool
    reason: str
    packages: dict[str, int]
    changes: tuple[LockChange, ...]


def preview_upgrade(
    options: argparse.Namespace,
    recipe: Recipe,
    upgrade: frozenset[str],
    connection: ArchiveConnection,
    progress: Progress,
) -> LockResult:
    """Return what an upgrade of these packages would change; raises PumiceError."""
    path = locking.lock_path(Path(recipe.path))
    changes = locking.preview_upgrade(
        *(recipe, path, connection),
        architectures=locking.choose_architectures(recipe, options.archs),
        progress=progress,
        upgrade=upgrade,
    )
    return describe_lock(path, lock_reader.read_lock(path), changes)


def lock_recipe(
    options: argparse.Namespace,
    recipe: Recipe,
    upgrade: frozenset[str] | None,
    connection: ArchiveConnection,
    progress: Progress,
) -> LockUpdate:
    """Write the lock of a recipe if it is not current, and return what changed; raises PumiceError."""
    path = locking.lock_path(Path(recipe.path))
    updates: list[LockUpdate] = []
    lock = locking.ensure_lock(
        *(recipe, path, connection),
        architectures=locking.choose_architectures(recipe, options.archs),
        progress=progress,
        upgrade=upgrade,
        report=updates.append,
    )
    return updates[0] if updates else LockUpdate(path, lock, lock)


def write_bundle(
    options: argparse.Namespace, update: LockUpdate, connection: ArchiveConnection, progress: Progress
) -> None:
    """Copy the packages of a lock into the directory of ``--bundle``; raises PumiceError."""
    from pumice.assembly import bundle

    count = bundle.write_bundle(update.new_lock, connection, options.bundle, progress=progress)
    progress.note(f"copied {format_count(count, 'package')} of {update.path} to {options.bundle}")


def describe_lock(
    path: Path, lock: Lock, changes: Sequence[LockChange], *, written: bool = False, reason: str = ""
) -> LockResult:
    """Return the result of a lock that changes so."""
    return LockResult(
        path=str(path.absolute()),
        written=written,
        reason=reason,
        packages={name: len(packages) for name, packages in lock.packages.items()},
        changes=tuple(changes),
    )


def describe_update(update: LockUpdate) -> LockResult:
    """Return the result of a lock that was written, or was current."""
    old_lock, new_lock = update.old_lock, update.new_lock
    changes = diff_locks(old_lock, new_lock) if old_lock else diff_packages({}, new_lock.packages)
    is_written = old_lock != new_lock
    return describe_lock(update.path, new_lock, changes, written=is_written, reason=update.reason)


def summarize_update(update: LockUpdate, *, verbose: bool) -> Summary:
    """Return the summary of a lock: what changed in it."""
    changes: Sequence[LockChange] = ()
    if update.old_lock is not None:
        changes = diff_locks(update.old_lock, update.new_lock)
    elif verbose:
        changes = diff_packages({}, update.new_lock.packages)
    return Summary(
        event="locked",
        headline=str(update),
        details=tuple(_format_changes(changes, limit=None if verbose else _MAX_LISTED)),
        data={
            "lock": str(update.path),
            "reason": update.reason,
            "packages": {name: len(packages) for name, packages in update.new_lock.packages.items()},
            "changes": [msgspec.to_builtins(change) for change in changes],
        },
    )


def _format_changes(changes: Sequence[LockChange], *, limit: int | None) -> Iterator[str]:
    """Yield the lines of a table of changes: changed packages first, then removed and added ones."""
    if not changes:
        return
    ordered = sorted(changes, key=lambda change: (not change.old_version) + 2 * (not change.new_version))
    listed = ordered[:limit]
    has_architectures = len({change.architectures for change in changes if change.architectures}) > 1
    heads = ("package", "old", "new", "architectures")[: 4 if has_architectures else 3]
    rows = [
        (change.name, change.old_version or "-", change.new_version or "-", ", ".join(change.architectures))
        for change in listed
    ]
    table = output.format_table(
        heads, [row[: len(heads)] for row in rows], width=output.terminal_width(sys.stderr)
    )
    yield from (f"  {line}" for line in table.splitlines())
    if len(ordered) > len(listed):
        yield f"  and {len(ordered) - len(listed)} more; list all with --verbose, or see 'git diff'"
