"""``pumice schema``: the JSON Schema of recipes, for editors."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from pumice.cli.arguments import parser
from pumice.recipe.schema import recipe_schema

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Print the schema."""
    made = parser(
        "schema",
        "Print the JSON Schema (draft 2020-12) of recipes, for editors that check YAML.",
        progress=False,
    )
    made.parse_args(arguments)
    sys.stdout.write(json.dumps(recipe_schema(), indent=2) + "\n")
    return 0
