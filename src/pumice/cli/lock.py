"""``pumice lock``: resolve a recipe and write its lock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.cli import arguments as command_line
from pumice.cli import output
from pumice.errors import UsageError
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """A current lock is not changed. Without PKG, --upgrade upgrades all packages. A package is
upgraded together with those of the same source. --check prints what --upgrade would change, each package as
OLD -> NEW, and exits with 1 if there is a change."""


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
        ),
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", help="recipe file")
    parser.add_argument("--upgrade", nargs="*", metavar="PKG", help="upgrade these packages (default: all)")
    parser.add_argument(
        "--check", action="store_true", help="print what an upgrade would change, without writing the lock"
    )
    parser.add_argument("--bundle", metavar="DIR", type=Path, help="copy all packages of the lock into DIR")
    command_line.add_recipe_argument_option(parser)
    command_line.add_platform_options(parser)
    command_line.add_offline_option(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    _find_recipe(options)
    upgrade = None if options.upgrade is None else frozenset(options.upgrade)
    progress = output.make_progress(options.progress)
    recipe = load_recipe(options.recipe, dict(options.recipe_arguments))
    path = locking.lock_path(options.recipe)
    architectures = locking.choose_architectures(recipe, options.archs)
    with (
        Home(locate(os.environ), progress=progress) as home,
        ArchiveConnection(recipe, home, os.environ, offline=options.offline, progress=progress) as connection,
    ):
        if options.check:
            changes = locking.preview_upgrade(
                recipe,
                path,
                connection,
                architectures=architectures,
                progress=progress,
                upgrade=upgrade or locking.UPGRADE_ALL,
            )
            for change in changes:
                print(output.printable(str(change)))
            return 1 if changes else 0
        lock = locking.ensure_lock(
            recipe, path, connection, architectures=architectures, progress=progress, upgrade=upgrade
        )
        if options.bundle:
            from pumice.assembly import bundle

            count = bundle.write_bundle(lock, connection, options.bundle, progress=progress)
            progress.note(f"copied the {count} packages of {path} to {options.bundle}")
    return 0


def _find_recipe(options: argparse.Namespace) -> None:
    """Set ``options.recipe`` from the arguments of ``--upgrade``, where argparse puts it."""
    if options.recipe is None:
        paths = [text for text in options.upgrade or () if text.endswith((".yaml", ".yml")) or "/" in text]
        if len(paths) != 1:
            raise UsageError("RECIPE is missing", hint="see 'pumice lock --help'")
        options.recipe = Path(paths[0])
        options.upgrade.remove(paths[0])
