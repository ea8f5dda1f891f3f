"""``pumice schema``: print the JSON Schema of recipes, for editors."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.recipe.schema import recipe_schema

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice schema``."""
    return command_line.make_parser(
        "schema",
        "Print the JSON Schema (draft 2020-12) of recipes, for editors that check YAML.",
        progress=False,
    )


def main(arguments: Sequence[str]) -> int:
    """Print the schema."""
    parser().parse_args(arguments)
    sys.stdout.write(json.dumps(recipe_schema(), indent=2) + "\n")
    return 0
