"""Write the table that completion reads: the options, operands and actions of every command, one a line.

Completing from the table takes no parser, so that no TAB waits for the imports of a command.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display.results import FormatReader
from pumice.cli.parsing.arguments import action_parsers
from pumice.cli.shell_completion.complete import RECIPE_ARGUMENT
from tools.parser_tree import all_parsers

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = (
    Path(__file__).resolve().parent.parent / "src" / "pumice" / "cli" / "shell_completion" / "completion.tsv"
)


def format_table() -> str:
    """Return the table of all commands; `shell_completion.complete` describes the columns."""
    return "".join("\t".join(row) + "\n" for row in _rows())


def _rows() -> Iterator[tuple[str, str, str, str, str]]:
    for command, parser in all_parsers():
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            summary = action.help or ""
            if summary == argparse.SUPPRESS:
                continue
            kind, names = (
                ("option", ",".join(action.option_strings)) if action.option_strings else ("operand", "")
            )
            yield command, kind, names, _value(action), summary
        actions = action_parsers(parser)
        for choice in actions._choices_actions if actions else ():
            yield command, "action", choice.dest, "", choice.help or ""


def _value(action: argparse.Action) -> str:
    """Return what an option or operand takes: ``=a|b`` of choices, else its metavar; ``...`` if several."""
    if action.nargs == 0:
        return ""
    choices = action.type.names if isinstance(action.type, FormatReader) else action.choices
    value = "=" + "|".join(choices) if choices else str(action.metavar or action.dest)
    if action.dest == "recipe_arguments":
        value = RECIPE_ARGUMENT
    repeated = action.nargs in (argparse.ONE_OR_MORE, argparse.ZERO_OR_MORE, argparse.REMAINDER)
    return value + ("..." if repeated else "")
