"""All commands with their parsers: what help pages, man pages and completion are made from."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from pumice.cli.commands import COMMANDS
from pumice.cli.parsing.arguments import Parser, action_parsers

if TYPE_CHECKING:
    from collections.abc import Iterator


def verb_parser(verb: str) -> Parser:
    """Return the parser of ``pumice VERB``."""
    parser: Parser = importlib.import_module(COMMANDS[verb][0]).parser()
    return parser


def all_parsers() -> Iterator[tuple[str, Parser]]:
    """Yield every command and action, such as ``trust`` and ``trust add``, with its parser."""
    for verb in COMMANDS:
        parser = verb_parser(verb)
        yield verb, parser
        actions = action_parsers(parser)
        for name, action_parser in actions.choices.items() if actions else ():
            yield f"{verb} {name}", action_parser
