"""``pumice lock``: pin the packages that a recipe stands for."""

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

_EPILOG = """A lock that fits the recipe is left alone. Without packages, --upgrade takes the newest
version of everything; a package brings along all that is made from the same source. --check
compares with what --upgrade would give, prints each difference as OLD -> NEW, and ends with
1 if there is one."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser("lock", "Pin the packages that a recipe stands for.", epilog=_EPILOG)
    made.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", help="the recipe file")
    made.add_argument(
        "--upgrade", nargs="*", metavar="PKG", help="take newer versions, of these packages or of all"
    )
    made.add_argument("--check", action="store_true", help="write nothing, say what an upgrade would change")
    made.add_argument("--bundle", metavar="DIR", type=Path, help="copy all that the lock names into a folder")
    command_line.arch_options(made)
    command_line.offline_option(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    _find_recipe(asked)
    upgrade = None if asked.upgrade is None else frozenset(asked.upgrade)
    progress = output.progress(asked.progress)
    recipe = load_recipe(asked.recipe)
    path = locking.lock_path(asked.recipe)
    architectures = locking.choose_architectures(recipe, asked.archs)
    with (
        Home(locate(os.environ), progress=progress) as home,
        ArchiveConnection(recipe, home, os.environ, offline=asked.offline, progress=progress) as connection,
    ):
        if asked.check:
            found = locking.preview_upgrade(
                recipe,
                path,
                connection,
                architectures=architectures,
                progress=progress,
                upgrade=upgrade or locking.UPGRADE_ALL,
            )
            for change in found:
                print(output.printable(str(change)))
            return 1 if found else 0
        lock = locking.ensure_lock(
            recipe, path, connection, architectures=architectures, progress=progress, upgrade=upgrade
        )
        if asked.bundle:
            from pumice.assembly import bundle

            count = bundle.write_bundle(lock, connection, asked.bundle, progress=progress)
            progress.note(f"{asked.bundle} holds the {count} packages of {path}")
    return 0


def _find_recipe(asked: argparse.Namespace) -> None:
    """Take the recipe from behind ``--upgrade``, where argparse counts it among the packages."""
    if asked.recipe is None:
        words = [word for word in asked.upgrade or () if word.endswith((".yaml", ".yml")) or "/" in word]
        if len(words) != 1:
            raise UsageError("RECIPE is missing", hint="see 'pumice lock --help'")
        asked.recipe = Path(words[0])
        asked.upgrade.remove(words[0])
