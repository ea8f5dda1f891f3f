"""``pumice explain``: show why a package is in an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.cli import arguments as command_line
from pumice.cli import output, recipes
from pumice.errors import UsageError
from pumice.formats import relations
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.resolve.explain import Explanation, Step

_MAX_NAMES = 12
_REASONS = {"requested": "the recipe requests it", "essential": "base: essential requires it"}


def parser() -> command_line.Parser:
    """Return the parser of ``pumice explain``."""
    parser = command_line.make_parser(
        "explain", "Show why a package is in an image and how much space it takes."
    )
    recipes.add_recipe_path(parser)
    parser.add_argument("package", metavar="PACKAGE", help="package to explain")
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        metavar="FORMAT",
        help="text or json (default: text)",
    )
    command_line.add_recipe_argument_option(parser)
    command_line.add_platform_options(parser)
    command_line.add_offline_option(parser)
    return parser


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    explain_parser = parser()
    options, words = explain_parser.parse_scattered(arguments)
    if words and options.recipe is None:
        options.recipe, options.package = options.package, words.pop(0)
    if words:
        explain_parser.reject(words[0])
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parse(arguments)
    if not relations.is_package_name(options.package):
        raise UsageError(f"{options.package!r} is not a package name", hint="pass the name without a version")
    progress = output.make_progress(options.progress)
    options.recipe = recipes.find_recipe(options.recipe)
    recipe = load_recipe(options.recipe, dict(options.recipe_arguments))
    architectures = locking.choose_architectures(recipe, options.archs)
    with (
        Home(locate(os.environ), progress=progress) as home,
        ArchiveConnection(recipe, home, os.environ, offline=options.offline, progress=progress) as connection,
    ):
        path = locking.lock_path(options.recipe)
        lock = locking.ensure_lock(recipe, path, connection, architectures=architectures, progress=progress)
        from pumice.assembly import lock_update
        from pumice.resolve.explain import explain_package

        indexes = connection.load_indexes(architectures)
        explanations = [
            explain_package(
                indexes.universe(architecture),
                lock_update.collect_requirements(recipe, connection.recipe_directory, architecture),
                lock.packages[architecture],
                options.package,
            )
            for architecture in architectures
        ]
    if options.format == "json":
        print(msgspec.json.format(msgspec.json.encode(explanations)).decode())
    else:
        print(
            "\n\n".join(format_text(item, with_architecture=len(explanations) > 1) for item in explanations)
        )
    return 0


def format_text(explanation: Explanation, *, with_architecture: bool = False) -> str:
    """Return an explanation as lines of text."""
    head = f"{explanation.package} {explanation.version}".strip() + (
        f" ({explanation.architecture})" if with_architecture else ""
    )
    lines = [head]
    if explanation.presence == "absent":
        lines = [f"{head} is not in the image", *_absence_lines(explanation)]
    elif explanation.presence == "base-data":
        lines.append("  base: data installs its files without its dependencies")
    else:
        lines += [f"  {_format_step(step)}" for step in explanation.chain]
        lines += _cost_lines(explanation)
    if explanation.approximated:
        lines.append(
            f"  explained by newer versions than the locked ones: {_join_names(explanation.approximated)}"
        )
    return output.printable("\n".join(lines))


def _format_step(step: Step) -> str:
    if not step.by:
        location = f" ({step.where})" if step.where else ""
        return f"{step.package}: {_REASONS[step.kind]}{location}"
    verb = "recommends" if step.kind == "recommended" else "needs"
    return f"{step.package}: {step.by} {verb} {step.relation}"


def _cost_lines(explanation: Explanation) -> list[str]:
    lines = []
    dependents = [f"{name} ({relation})" for name, relation in explanation.needed_by]
    if len(dependents) > 1:
        lines.append(f"needed by {len(dependents)}: {_join_names(dependents)}")
    size = output.format_size(explanation.exclusive_size * 1024)
    if len(explanation.exclusive) == 1:
        lines.append(f"without it the image would be {size} smaller")
    elif explanation.exclusive:
        with_it = _join_names([name for name in explanation.exclusive if name != explanation.package])
        lines.append(f"without it the image would be {size} smaller: {with_it} would be removed as well")
    return [f"  {line}" for line in lines]


def _absence_lines(explanation: Explanation) -> list[str]:
    lines = []
    if explanation.excluded:
        lines.append(f"it is excluded ({explanation.excluded})")
    lines += [
        f"{owner} needs {relation}: {chosen} was chosen"
        for owner, relation, chosen in explanation.accepted_by
    ]
    return [
        f"  {line}" for line in lines or ["nothing in the image needs it, and the recipe does not request it"]
    ]


def _join_names(names: Sequence[str]) -> str:
    hidden_count = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {hidden_count} more" if hidden_count > 0 else "")
