"""``pumice schema``: print the JSON Schema of recipes, or of a command's JSON output."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from pumice.cli.display import results
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice schema``."""
    parser = command_line.make_parser(
        "schema",
        "Print a JSON Schema (draft 2020-12): that of recipes, for editors that check YAML, or that of what\n"
        "a command prints with --json.",
        progress=False,
        epilog=f"COMMAND is one of {', '.join(sorted(results.RESULTS))}.",
        examples=("pumice schema > recipe.schema.json",),
    )
    parser.add_argument(
        "command", metavar="COMMAND", nargs="*", help="command with --json (default: the schema of recipes)"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the schema."""
    command = " ".join(parser().parse_args(arguments).command)
    if command:
        results.check_command(command)
        schema = results.result_schema(command)
    else:
        from pumice.recipe.schema import recipe_schema

        schema = recipe_schema()
    sys.stdout.write(json.dumps(schema, indent=2) + "\n")
    return 0
