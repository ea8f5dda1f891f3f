"""``pumice show``: print the effective recipe, each value with the location that it comes from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import recipes
from pumice.recipe import show
from pumice.recipe.load import load_effective

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice show``."""
    parser = command_line.make_parser(
        "show",
        "Print the effective recipe, merged with all that it extends, with the location of each value.",
        progress=False,
    )
    recipes.add_recipe_path(parser)
    command_line.add_recipe_argument_option(parser)
    parser.add_argument(
        "--format",
        choices=("yaml", "json"),
        default="yaml",
        metavar="FORMAT",
        help="yaml or json (default: yaml)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print a recipe merged with all that it extends."""
    options = parser().parse_args(arguments)
    effective = load_effective(recipes.find_recipe(options.recipe), dict(options.recipe_arguments))
    if options.format == "json":
        import json

        text = json.dumps(show.format_json(effective), indent=2, ensure_ascii=False) + "\n"
    else:
        text = show.format_yaml(effective)
    # A file name in a location may not be UTF-8: print it with escapes.
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    return 0
