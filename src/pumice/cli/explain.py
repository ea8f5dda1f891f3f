"""``pumice explain``: why a package is in an image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.cli import arguments as command_line
from pumice.cli import output
from pumice.errors import UsageError
from pumice.formats import relations
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.resolve.explain import Explanation, Step

_LISTED = 12
_WHY = {"requested": "the recipe asks for it", "essential": "base: essential asks for it"}


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser("explain", "Show why a package is in an image, and what it costs there.")
    made.add_argument("recipe", metavar="RECIPE", type=Path, help="the recipe file")
    made.add_argument("package", metavar="PACKAGE", help="the package to explain")
    made.add_argument(
        "--format", choices=("text", "json"), default="text", metavar="FORMAT", help="text (default) or json"
    )
    command_line.arch_options(made)
    command_line.offline_option(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    if not relations.is_package_name(asked.package):
        raise UsageError(f"{asked.package!r} is no name of a package", hint="name it without a version")
    progress = output.progress(asked.progress)
    recipe = load_recipe(asked.recipe)
    architectures = locking.choose_architectures(recipe, asked.archs)
    with (
        Home(locate(os.environ), progress=progress) as home,
        ArchiveConnection(recipe, home, os.environ, offline=asked.offline, progress=progress) as connection,
    ):
        path = locking.lock_path(asked.recipe)
        lock = locking.ensure_lock(recipe, path, connection, architectures=architectures, progress=progress)
        from pumice.assembly import lock_update
        from pumice.resolve.explain import explain_package

        indexes = connection.load_indexes(architectures)
        found = [
            explain_package(
                indexes.universe(architecture),
                lock_update.collect_requirements(recipe, connection.recipe_directory, architecture),
                lock.packages[architecture],
                asked.package,
            )
            for architecture in architectures
        ]
    if asked.format == "json":
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print("\n\n".join(text(one, len(found) > 1) for one in found))
    return 0


def text(found: Explanation, several: bool = False) -> str:
    """Return an explanation as lines for a person."""
    head = f"{found.package} {found.version}".strip() + (f" ({found.architecture})" if several else "")
    lines = [head]
    if found.presence == "absent":
        lines = [f"{head} is not in the image", *_absent(found)]
    elif found.presence == "base-data":
        lines.append("  base: data takes its files, without what it depends on")
    else:
        lines += [f"  {_link(step)}" for step in found.chain]
        lines += _costs(found)
    if found.approximated:
        lines.append(f"  told by newer versions than the locked ones: {_listed(found.approximated)}")
    return output.printable("\n".join(lines))


def _link(step: Step) -> str:
    if not step.by:
        place = f" ({step.where})" if step.where else ""
        return f"{step.package}: {_WHY[step.kind]}{place}"
    verb = "recommends" if step.kind == "recommended" else "needs"
    return f"{step.package}: {step.by} {verb} {step.relation}"


def _costs(found: Explanation) -> list[str]:
    lines = []
    others = [f"{name} ({relation})" for name, relation in found.needed_by]
    if len(others) > 1:
        lines.append(f"needed by {len(others)}: {_listed(others)}")
    size = output.size(found.exclusive_size * 1024)
    if len(found.exclusive) == 1:
        lines.append(f"without it the image would be {size} smaller")
    elif found.exclusive:
        with_it = _listed([name for name in found.exclusive if name != found.package])
        lines.append(f"without it the image would be {size} smaller: {with_it} would go as well")
    return [f"  {line}" for line in lines]


def _absent(found: Explanation) -> list[str]:
    lines = []
    if found.excluded:
        lines.append(f"it is excluded ({found.excluded})")
    lines += [f"{owner} needs {relation}: {taken} was taken" for owner, relation, taken in found.accepted_by]
    return [
        f"  {line}" for line in lines or ["nothing in the image needs it, and the recipe does not ask for it"]
    ]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
