"""``pumice explain``: show why a package is in an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.cli.display import output, progress_modes, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.recipes import explain_slices, recipe_paths
from pumice.distro.universe import LOCALE_DATA
from pumice.errors import PumiceError, UsageError
from pumice.formats import relations
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pumice.distro.universe import Universe
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe
    from pumice.resolve.explain import Explanation, Option, Step

_MAX_NAMES = 12
_REASONS = {"requested": "the recipe requests it", "essential": "base: essential requires it"}


def parser() -> command_line.Parser:
    """Return the parser of ``pumice explain``."""
    parser = command_line.make_parser(
        "explain",
        "Show why a package or slice is in an image, and how much space a package takes.",
        examples=(
            "pumice explain recipe.yaml libssl3",
            "pumice explain recipe.yaml libssl3_libs",
            "pumice explain recipe.yaml /usr/bin/openssl",
        ),
    )
    recipe_paths.add_recipe_path(parser)
    parser.add_argument("package", metavar="PACKAGE", help="package, slice or path in a slice to explain")
    results.add_format_options(parser, "explain", default="text", example="Version", has_variants=True)
    shared_options.add_recipe_argument_option(parser)
    shared_options.add_platform_options(parser)
    shared_options.add_offline_option(parser)
    return parser


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    explain_parser = parser()
    options, words = explain_parser.parse_scattered(arguments)
    if words and options.recipe is None:
        options.recipe, options.package = options.package, words.pop(0)
    if words:
        explain_parser.reject(words[0])
    if options.recipe is None and options.package.endswith((".yaml", ".yml")):
        raise UsageError("PACKAGE is missing", hint="see 'pumice explain --help'")
    return options


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parse(arguments)
    if explain_slices.is_about_slices(options.package):
        options.recipe = recipe_paths.find_recipe(options.recipe)
        return explain_slices.run(options)
    if not relations.is_package_name(options.package):
        raise UsageError(f"{options.package!r} is not a package name", hint="pass the name without a version")
    progress = progress_modes.make_progress(options.progress)
    options.recipe = recipe_paths.find_recipe(options.recipe)
    recipe = load_recipe(options.recipe, dict(options.recipe_arguments))
    architectures = locking.choose_architectures(recipe, options.archs)
    with (
        Home(locate(os.environ), progress=progress) as home,
        ArchiveConnection(recipe, home, os.environ, offline=options.offline, progress=progress) as connection,
    ):
        path = locking.lock_path(options.recipe)
        lock = locking.ensure_lock(recipe, path, connection, architectures=architectures, progress=progress)
        if explain_slices.is_sliced(options.package, lock):
            return explain_slices.run(options)
        indexes = connection.load_indexes(architectures)
        universes = {architecture: indexes.universe(architecture) for architecture in architectures}
        _check_exists(options.package, universes.values(), lock)
        explanations = [
            _explain(options.package, architecture, universe, recipe, lock, connection.recipe_directory, home)
            for architecture, universe in universes.items()
        ]
    results.write_result(
        explanations,
        results.check_template(options.format, "explain"),
        lambda: _format_all(explanations),
    )
    return 0


def _explain(
    package: str,
    architecture: str,
    universe: Universe,
    recipe: Recipe,
    lock: Lock,
    recipe_directory: Path,
    home: Home,
) -> Explanation:
    from pumice.assembly import lock_update
    from pumice.assembly.omission_explanation import explain_omission
    from pumice.resolve.explain import explain_package

    requirements = lock_update.collect_requirements(recipe, recipe_directory, architecture)
    explanation = explain_package(universe, requirements, lock.packages[architecture], package)
    return explain_omission(explanation, recipe, lock, home)


def _format_all(explanations: Sequence[Explanation]) -> str:
    several = len(explanations) > 1
    return "\n\n".join(format_text(item, with_architecture=several) for item in explanations) + "\n"


def _check_exists(name: str, universes: Collection[Universe], lock: Lock) -> None:
    """Raise PumiceError if no archive and no lock knows the package, with the most similar name as hint."""
    locked_names = {package.name for packages in lock.packages.values() for package in packages}
    if name in locked_names:
        return
    if any(universe.versions(name) or universe.providers(name) for universe in universes):
        return
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(locked_names), n=1, cutoff=0.8) or get_close_matches(
        name, sorted({other for universe in universes for other in universe.names()}), n=1
    )
    raise PumiceError(f"no package {name!r}", hint=f"did you mean {close[0]}?" if close else None)


def format_text(explanation: Explanation, *, with_architecture: bool = False) -> str:
    """Return an explanation as lines of text."""
    head = f"{explanation.package} {explanation.version}".strip() + (
        f" ({explanation.architecture})" if with_architecture else ""
    )
    lines = [head]
    if explanation.presence == "absent":
        lines = [f"{head} is not in the image", *_absence_lines(explanation)]
    elif explanation.presence == "base-data":
        part = "only its locale C.UTF-8" if explanation.package in LOCALE_DATA.values() else "its files"
        lines.append(f"  base: data installs {part} without its dependencies")
    elif explanation.presence == "omitted":
        lines = [f"{head} is left out of the image"]
        lines += [f"  {_format_step(step)}" for step in explanation.chain]
        lines += _omission_lines(explanation)
    else:
        lines += [f"  {_format_step(step)}" for step in explanation.chain]
        lines += [f"  {explanation.omission}"] if explanation.omission else []
        lines += _choice_lines(explanation)
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


def _choice_lines(explanation: Explanation) -> list[str]:
    """Return why the package was chosen; nothing for relations that list it first."""
    lines = []
    for choice in explanation.choices:
        others = [option.package for option in choice.options if option.package != explanation.package]
        if choice.reason == "cost":
            added = {option.package: option for option in choice.options}
            first = choice.options[0]
            lines.append(
                f"chosen for {choice.package} instead of {first.package}:"
                f" it adds {_format_addition(added[explanation.package])}, not {_format_addition(first)}"
            )
        elif choice.reason == "provider":
            lines.append(
                f"chosen for {choice.package} by priority and size among the providers: {_join_names(others)}"
            )
        elif choice.reason == "shared":
            lines.append(
                f"chosen for {choice.package} instead of {others[0]}:"
                " another package or the previous lock selected it"
            )
    return [f"  {line}" for line in lines]


def _format_addition(option: Option) -> str:
    count = format_count(option.added_packages, "package")
    return f"{count} ({output.format_size(option.added_size)})"


def _cost_lines(explanation: Explanation) -> list[str]:
    lines = []
    dependents = [f"{dependent.package} ({dependent.relation})" for dependent in explanation.needed_by]
    if len(dependents) > 1:
        lines.append(f"needed by {len(dependents)}: {_join_names(dependents)}")
    size = output.format_size(explanation.exclusive_size)
    if len(explanation.exclusive) == 1:
        lines.append(f"without it the image would be {size} smaller")
    elif explanation.exclusive:
        with_it = _join_names([name for name in explanation.exclusive if name != explanation.package])
        lines.append(f"without it the image would be {size} smaller: {with_it} would be removed as well")
    return [f"  {line}" for line in lines]


def _omission_lines(explanation: Explanation) -> list[str]:
    uses = list(explanation.unused_by[:_MAX_NAMES])
    hidden_count = len(explanation.unused_by) - len(uses)
    lines = [explanation.omission, *(f"does not count: {use}" for use in uses)]
    lines += [f"and {hidden_count} more files"] if hidden_count else []
    keep = f"'keep: [{explanation.package}]' brings it back; for apt in the image, use 'keep: all'"
    return [f"  {line}" for line in (*lines, keep)]


def _absence_lines(explanation: Explanation) -> list[str]:
    lines = []
    if explanation.excluded:
        lines.append(f"it is excluded ({explanation.excluded})")
    lines += [
        f"{alternative.package} needs {alternative.relation}: {alternative.chosen} was chosen"
        for alternative in explanation.accepted_by
    ]
    return [
        f"  {line}" for line in lines or ["nothing in the image needs it, and the recipe does not request it"]
    ]


def _join_names(names: Sequence[str]) -> str:
    hidden_count = len(names) - _MAX_NAMES
    return ", ".join(names[:_MAX_NAMES]) + (f" and {hidden_count} more" if hidden_count > 0 else "")
