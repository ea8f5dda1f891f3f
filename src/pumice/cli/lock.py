"""``pumice lock``: resolve a recipe and write its lock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.cli.display import output, progress_modes, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.recipes import recipe_lock, recipe_paths
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


_EPILOG = """A current lock is not changed. Without PKG, --upgrade upgrades all packages. A package is
upgraded together with those of the same source. --check prints what --upgrade would change, each package as
OLD -> NEW, and exits with 1 if there is a change.

With several recipes, or with a pattern such as 'images/*', --upgrade PKG is for the recipes whose lock has
the package, and --check prints RECIPE: before each change. A recipe that fails does not stop the others; the
exit code is that of the first failure."""


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
    recipe_paths.add_recipe_paths(parser)
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
    selection = recipe_paths.find_recipes(options.recipes)
    progress = progress_modes.make_progress(options.progress)
    if options.bundle:
        from pumice.image.output import check_directory
        from pumice.os_errors import STORE

        check_directory(options.bundle, with_parents=True, translation=STORE)
    with Home(locate(os.environ), progress=progress) as home:
        if selection.is_list:
            from pumice.cli.recipes import lock_list

            return lock_list.lock_all(options, selection.paths, home, progress)
        recipe = load_recipe(selection.paths[0], dict(options.recipe_arguments))
        upgrade = None if options.upgrade is None else frozenset(options.upgrade)
        with ArchiveConnection(
            recipe, home, os.environ, offline=options.offline, progress=progress
        ) as connection:
            if options.check:
                upgrade = upgrade or locking.UPGRADE_ALL
                result = recipe_lock.preview_upgrade(options, recipe, upgrade, connection, progress)
                lines = [output.printable(str(change)) for change in result.changes]
                results.write_result([result], options.format, lambda: lines)
                return 1 if lines else 0
            update = recipe_lock.lock_recipe(options, recipe, upgrade, connection, progress)
            progress.finish(recipe_lock.summarize_update(update, verbose=options.verbose))
            results.write_result([recipe_lock.describe_update(update)], options.format, tuple)
            if options.bundle:
                recipe_lock.write_bundle(options, update, connection, progress)
    return 0


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
