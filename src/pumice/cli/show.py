"""``pumice show``: the effective recipe, each value with the place it comes from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.arguments import parser
from pumice.recipe import show
from pumice.recipe.load import load_effective

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Print what a recipe says after everything it extends."""
    made = parser(
        "show",
        "Print the effective recipe, everything extended and checked, and where each value comes from.",
        progress=False,
    )
    made.add_argument("recipe", metavar="RECIPE", help="the recipe file")
    made.add_argument(
        "--format", choices=("yaml", "json"), default="yaml", metavar="FORMAT", help="yaml (default) or json"
    )
    given = made.parse_args(arguments)
    found = load_effective(given.recipe)
    if given.format == "json":
        import json

        text = json.dumps(show.format_json(found), indent=2, ensure_ascii=False) + "\n"
    else:
        text = show.format_yaml(found)
    # A file name may be no UTF-8; its place is told all the same, in the escape that JSON knows.
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    return 0
