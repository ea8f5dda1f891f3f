"""``pumice lock`` with several recipes: they share indexes and connections."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection, SharedArchives
from pumice.assembly.lock_diff import diff_locks
from pumice.cli.display import output, results
from pumice.cli.display.summaries import Summary
from pumice.cli.recipes import recipe_lock
from pumice.cli.recipes.recipe_list import Failures, RecipeProgress, summarize_list
from pumice.errors import LockError, UsageError
from pumice.recipe.load import load_recipe
from pumice.recipe.lock_reader import read_lock
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.assembly.lock_diff import LockUpdate
    from pumice.cli.display.presenters import Quiet
    from pumice.cli.recipes.recipe_lock import LockResult
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home


def lock_all(options: argparse.Namespace, paths: list[Path], home: Home, progress: Quiet) -> int:
    """Lock all recipes, or print what an upgrade would change, and return the exit code."""
    started = time.monotonic()
    upgrades = _choose_upgrades(options, paths)
    failures = Failures(progress)
    updates: dict[Path, LockUpdate] = {}
    locked: list[LockResult] = []
    with SharedArchives(home, os.environ, offline=options.offline, progress=progress) as archives:
        for path in paths:
            with failures.catch(path):
                recipe = load_recipe(path, dict(options.recipe_arguments))
                reporter = RecipeProgress(progress, path)
                connection = ArchiveConnection(
                    *(recipe, home, os.environ),
                    offline=options.offline,
                    progress=reporter,
                    archives=archives,
                )
                if options.check:
                    locked.append(_check(options, recipe, upgrades[path], connection, reporter))
                    continue
                update = recipe_lock.lock_recipe(options, recipe, upgrades[path], connection, reporter)
                updates[path] = update
                locked.append(recipe_lock.describe_update(update))
                summary = recipe_lock.summarize_update(update, verbose=options.verbose)
                data = {"recipe": str(path), **summary.data}
                progress.finish_item(msgspec.structs.replace(summary, data=data))
                if options.bundle:
                    recipe_lock.write_bundle(options, update, connection, progress)
    results.write_result(locked, options.format, tuple)
    if not options.check:
        progress.finish(_summarize(paths, updates, time.monotonic() - started))
    return failures.exit_code(paths) or int(options.check and any(result.changes for result in locked))


def _check(
    options: argparse.Namespace,
    recipe: Recipe,
    upgrade: frozenset[str] | None,
    connection: ArchiveConnection,
    progress: RecipeProgress,
) -> LockResult:
    """Return what an upgrade would change in one lock, and print it for people."""
    if upgrade is None:
        path = locking.lock_path(Path(recipe.path))
        return recipe_lock.describe_lock(path, read_lock(path), ())
    result = recipe_lock.preview_upgrade(options, recipe, upgrade, connection, progress)
    if not options.format.is_for_programs:
        for change in result.changes:
            print(f"{output.printable_line(recipe.path)}: {output.printable_line(str(change))}")
    return result


def _choose_upgrades(
    options: argparse.Namespace, paths: Iterable[Path]
) -> Mapping[Path, frozenset[str] | None]:
    """Return what to upgrade in each lock: of the named packages those that it has, None for nothing.

    Raises UsageError for a package that no lock has.
    """
    if not options.upgrade:
        upgrade = None if options.upgrade is None and not options.check else locking.UPGRADE_ALL
        return dict.fromkeys(paths, upgrade)
    names = frozenset(options.upgrade)
    locked_names = {path: _read_names(path) for path in paths}
    unknown = names.difference(*locked_names.values())
    if unknown:
        raise UsageError(
            f"cannot upgrade {min(unknown)!r}: no lock has such a package",
            hint="name packages that are in a lock",
        )
    return {path: (names & packages) or None for path, packages in locked_names.items()}


def _read_names(path: Path) -> frozenset[str]:
    """Return the packages of a recipe's lock; of a lock that cannot be read none, as locking reports it."""
    try:
        packages = read_lock(locking.lock_path(path)).packages
    except LockError:
        return frozenset()
    return frozenset(package.name for locked in packages.values() for package in locked)


def _summarize(paths: Sequence[Path], updates: Mapping[Path, LockUpdate], seconds: float) -> Summary:
    table = output.format_table(
        ("recipe", "packages", "state"),
        [_row(path, updates.get(path)) for path in paths],
        right=(1,),
        width=output.terminal_width(sys.stderr),
    )
    failed = [path for path in paths if path not in updates]
    return summarize_list("locked", "recipe", paths, failed, table, seconds)


def _row(path: Path, update: LockUpdate | None) -> tuple[str, str, str]:
    if update is None:
        return str(path), "", "failed"
    packages = max(map(len, update.new_lock.packages.values()), default=0)
    return str(path), str(packages), _describe(update)


def _describe(update: LockUpdate) -> str:
    if update.old_lock is None:
        return "new"
    if update.old_lock == update.new_lock:
        return "unchanged"
    count = len(diff_locks(update.old_lock, update.new_lock))
    return f"updated ({format_count(count, 'change')})"
