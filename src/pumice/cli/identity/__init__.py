"""``pumice identity``: the tokens with which pods prove who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.identity import issuer, keys, token, verify
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """A pod that runs with 'pumice run --mds' gets its tokens from the metadata service. These
actions show them, verify them, and manage the keys that sign them."""


def parser() -> command_line.Parser:
    """Return the parser of ``pumice identity``."""
    return command_line.make_action_parser(
        "identity",
        "Issue and verify the tokens of pods, and manage their keys.",
        (token, verify, keys, issuer),
        epilog=_EPILOG,
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    return command_line.run_action(parser(), arguments)
