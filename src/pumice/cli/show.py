"""``pumice show``: print the effective recipe, each value with the location that it comes from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.cli.display import results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.recipes import recipe_paths
from pumice.recipe import show
from pumice.recipe.load import load_effective

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class EffectiveValues(msgspec.Struct, frozen=True):
    """A recipe merged with all that it extends.

    ``sources`` are JSON pointers into ``recipe`` with the ``file:line:column`` that each value comes from,
    ``arguments`` JSON pointers with the names of recipe arguments that were replaced in the value.
    """

    recipe: dict[str, Any]
    sources: dict[str, str]
    arguments: dict[str, list[str]]


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice show``."""
    parser = command_line.make_parser(
        "show",
        "Print the effective recipe, merged with all that it extends, with the location of each value.",
        progress=False,
        examples=("pumice show recipe.yaml",),
    )
    recipe_paths.add_recipe_path(parser)
    shared_options.add_recipe_argument_option(parser)
    results.add_format_options(parser, "show", default="yaml", example="Recipe.name")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print a recipe merged with all that it extends."""
    options = parser().parse_args(arguments)
    effective = load_effective(recipe_paths.find_recipe(options.recipe), dict(options.recipe_arguments))
    if options.format.is_for_programs:
        result = EffectiveValues(**show.format_json(effective))
        results.write_result(result, options.format, str)
        return 0
    # A file name in a location may not be UTF-8: print it with escapes.
    sys.stdout.buffer.write(show.format_yaml(effective).encode("utf-8", "backslashreplace"))
    return 0
