"""Write the man pages in man/ from the parsers of the commands: one page for each, with its actions in it.

The pages are kept in the repository, so that building a wheel needs no dependency of Pumice, and contain
neither a date nor a version, so that they change only when a help text does. Tests fail when one has drifted.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.commands import COMMANDS
from pumice.cli.parsing import help_format
from pumice.cli.parsing.arguments import Parser, action_parsers
from tools.parser_tree import verb_parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGES = Path(__file__).resolve().parent.parent / "man"
TAGLINE = "build, sign, ship and run small OCI images made from Debian packages"


def format_pages() -> dict[str, str]:
    """Return all pages by file name."""
    pages = {"pumice.1": _join(_overview())}
    return pages | {f"pumice-{verb}.1": _join(_command_page(verb)) for verb in COMMANDS}


def _join(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def escape(text: str) -> str:
    """Return text for a line of roff that is not a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("…", "...")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped


def _overview() -> Iterator[str]:
    yield from ('.TH PUMICE 1 "" Pumice "User Commands"', ".SH NAME", f"pumice \\- {TAGLINE}")
    yield from (".SH SYNOPSIS", ".B pumice", "COMMAND [ARGUMENT...]", ".SH DESCRIPTION")
    yield escape(f"Pumice is a toolchain without a daemon and without root to {TAGLINE}.")
    yield escape("Each command has its own page, such as pumice-build(1).")
    yield ".SH COMMANDS"
    group = ""
    for verb, (_, summary, command_group) in COMMANDS.items():
        if command_group != group:
            yield f".SS {command_group}"
            group = command_group
        yield from (".TP", f".BR pumice\\-{verb} (1)", escape(summary))
    yield from (".SH OPTIONS", ".TP", ".BR \\-h ,\\~ \\-\\-help", "List the commands.")
    yield from (".TP", ".BR \\-V ,\\~ \\-\\-version", "Print the version.")
    yield from (".SH SEE ALSO", ", ".join(f"pumice\\-{verb}(1)" for verb in COMMANDS))


def _command_page(verb: str) -> Iterator[str]:
    parser = verb_parser(verb)
    yield f'.TH PUMICE\\-{verb.upper()} 1 "" Pumice "User Commands"'
    yield from (".SH NAME", f"pumice\\-{verb} \\- {escape(COMMANDS[verb][1])}")
    yield from (".SH SYNOPSIS", *_usage(parser))
    actions = action_parsers(parser)
    for action_parser in actions.choices.values() if actions else ():
        yield from (".br", *_usage(action_parser))
    yield from (".SH DESCRIPTION", *_paragraphs(parser.description))
    yield from _groups(parser, ".SH")
    if actions:
        yield ".SH ACTIONS"
        for name, action_parser in actions.choices.items():
            yield f".SS pumice {verb} {name}"
            yield from _paragraphs(action_parser.description)
            yield from _groups(action_parser, "")
            yield from _paragraphs(action_parser.epilog)
    if parser.epilog:
        yield from (".SH NOTES", *_paragraphs(parser.epilog))
    yield from (".SH EXAMPLES", *_examples(parser))
    yield from (".SH SEE ALSO", "pumice(1)")


def _usage(parser: Parser) -> Iterator[str]:
    usage = help_format.usage(parser).removeprefix(parser.prog).strip()
    yield f".B {escape(parser.prog)}"
    yield escape(usage)


def _groups(parser: Parser, heading: str) -> Iterator[str]:
    """Yield the arguments and options; below ``heading``, or without one within an action."""
    for group in parser._action_groups:
        members = [
            action
            for action in group._group_actions
            if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction)
        ]
        if members and heading:
            yield f"{heading} {(group.title or '').upper()}"
            yield from _paragraphs(group.description)
        for action in members:
            yield from (".TP", _invocation(action), escape(" ".join((action.help or "").split())))


def _invocation(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else escape(str(action.metavar or action.dest))
    if not action.option_strings:
        return f"\\fI{value}\\fR"
    names = ", ".join(f"\\fB{escape(name)}\\fR" for name in action.option_strings)
    return f"{names} \\fI{value}\\fR" if value else names


def _paragraphs(text: str | None) -> Iterator[str]:
    """Yield wrapped paragraphs; lines that start with a space are a table and stay as they are."""
    for index, paragraph in enumerate((text or "").split("\n\n")):
        lines = paragraph.splitlines()
        if index or lines:
            yield ".PP"
        is_table = any(line[:1] == " " for line in lines)
        if is_table:
            yield from (".nf", *map(escape, lines), ".fi")
        else:
            yield from map(escape, lines)


def _examples(parser: Parser) -> Iterator[str]:
    actions = action_parsers(parser)
    parsers = [parser, *(actions.choices.values() if actions else ())]
    yield from (".nf", *(escape(example) for each in parsers for example in each.examples), ".fi")
