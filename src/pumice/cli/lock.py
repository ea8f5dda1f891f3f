"""``pumice lock``: resolve a recipe and write its lock."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.assembly.lock_diff import LockChange, LockUpdate, diff_locks, diff_packages
from pumice.cli import arguments as command_line
from pumice.cli import output, recipes, results, shared_options
from pumice.cli.summaries import Summary
from pumice.recipe import lock as locks
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.progress import Progress
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe

_MAX_LISTED = 20
"""The most changes that are listed without ``--verbose``."""

_EPILOG = """A current lock is not changed. Without PKG, --upgrade upgrades all packages. A package is
upgraded together with those of the same source. --check prints what --upgrade would change, each package as
OLD -> NEW, and exits with 1 if there is a change.

With several recipes, or with a pattern such as 'images/*', --upgrade PKG is for the recipes whose lock has
the package, and --check prints RECIPE: before each change. A recipe that fails does not stop the others; the
exit code is that of the first failure."""


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


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice lock``."""
    parser = command_line.make_parser(
        "lock",
        "Resolve the packages of a recipe to exact versions and write its lock.",
        epilog=_EPILOG,
        examples=(
            "pumice lock recipe.yaml",
            "pumice lock recipe.yaml --upgrade openssl",
            "pumice lock recipe.yaml --bundle packages",
            "pumice lock base 'images/*' --check",
        ),
    )
    recipes.add_recipe_paths(parser)
    shared_options.add_quiet_option(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="list all changes, not only the first")
    parser.add_argument("--upgrade", nargs="*", metavar="PKG", help="upgrade these packages (default: all)")
    parser.add_argument(
        "--check", action="store_true", help="print what an upgrade would change, without writing the lock"
    )
    parser.add_argument("--bundle", metavar="DIR", type=Path, help="copy all packages of the lock into DIR")
    shared_options.add_recipe_argument_option(parser)
    shared_options.add_platform_options(parser)
    shared_options.add_offline_option(parser)
    results.add_format_options(parser, "lock", default="text", example="Path")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parse(arguments)
    selection = recipes.find_recipes(options.recipes)
    progress = output.make_progress(options.progress)
    with Home(locate(os.environ), progress=progress) as home:
        if selection.is_list:
            from pumice.cli import lock_list

            return lock_list.lock_all(options, selection.paths, home, progress)
        recipe = load_recipe(selection.paths[0], dict(options.recipe_arguments))
        upgrade = None if options.upgrade is None else frozenset(options.upgrade)
        with ArchiveConnection(
            recipe, home, os.environ, offline=options.offline, progress=progress
        ) as connection:
            if options.check:
                upgrade = upgrade or locking.UPGRADE_ALL
                result = preview_upgrade(options, recipe, upgrade, connection, progress)
                lines = [output.printable(str(change)) for change in result.changes]
                results.write_result([result], options.format, lambda: lines)
                return 1 if lines else 0
            update = lock_recipe(options, recipe, upgrade, connection, progress)
            progress.finish(summarize_update(update, verbose=options.verbose))
            results.write_result([describe_update(update)], options.format, tuple)
            if options.bundle:
                write_bundle(options, update, connection, progress)
    return 0


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
    return describe_lock(path, locks.read_lock(path), changes)


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
    progress.note(f"copied the {count} packages of {update.path} to {options.bundle}")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse arguments; argparse puts recipes that follow ``--upgrade`` among the packages."""
    options = parser().parse_args(arguments)
    if not options.recipes and options.upgrade:
        options.recipes = [text for text in options.upgrade if _is_recipe(text)]
        options.upgrade = [text for text in options.upgrade if not _is_recipe(text)]
    return options


def _is_recipe(text: str) -> bool:
    """Return whether an argument names a recipe: no name of a package is like it."""
    return text.endswith((".yaml", ".yml")) or "/" in text or "*" in text


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
