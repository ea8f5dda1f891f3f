"""Format help: the same on every machine, except for the width of the terminal.

Text wraps between words only: neither a location such as ``tar:FILE`` nor a name with hyphens is broken,
because a reader copies them. Loaded only when help is printed.
"""

from __future__ import annotations

import argparse
import os
from textwrap import TextWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_DEFAULT_WIDTH = 80
_WIDTHS = (40, 100)
_NARROW_WIDTH = 60
"""Below it, the help of an option is on lines of its own, not in a second column."""


def format_help(
    parser: argparse.ArgumentParser, width: int, examples: Sequence[str] = (), *, color: bool = False
) -> str:
    """Return the help of a parser, at most ``width`` columns wide where words are not longer.

    ``examples`` are complete command lines, which end it. With ``color``, headings and the names of
    options, operands and actions stand out.
    """
    help_position = 28 if width >= _NARROW_WIDTH else 6
    formatter = _HelpFormatter(parser.prog, max_help_position=help_position, width=width)
    formatter.add_text(parser.description)
    for group in parser._action_groups:  # argparse has no public API for the groups
        formatter.start_section(group.title)
        formatter.add_text(group.description)
        formatter.add_arguments(group._group_actions)
        formatter.end_section()
    formatter.add_text(parser.epilog)
    lines = _wrap(f"usage: {usage(parser)}", width, rest_indent="       ")
    text = "\n".join(lines) + "\n\n" + formatter.format_help()
    text += "\nexamples:\n" + _format_examples(examples) if examples else ""
    return _color(text, parser) if color else text


def _color(text: str, parser: argparse.ArgumentParser) -> str:
    from pumice.cli.parsing import help_color

    headings = {f"{group.title}:" for group in parser._action_groups} | {"examples:"}
    return help_color.color_help(text, headings, list(_names(parser)))


def _names(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield how each option, operand and action is written in the help."""
    formatter = _HelpFormatter(parser.prog)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices
        elif action.help != argparse.SUPPRESS:
            yield formatter._format_action_invocation(action)


def usage(parser: argparse.ArgumentParser) -> str:
    """Return how the command is written: its required options and its operands."""
    required = [action for action in parser._actions if action.option_strings and action.required]
    words = [parser.prog, "[OPTION...]"]
    words += [f"{action.option_strings[-1]} {action.metavar or action.dest.upper()}" for action in required]
    words += [operand(action) for action in parser._actions if not action.option_strings]
    return " ".join(words)


def operand(action: argparse.Action) -> str:
    """Return how an operand is written in a usage line."""
    if isinstance(action, argparse._SubParsersAction):
        return f"{action.metavar} [ARGUMENT...]"
    name = str(action.metavar or action.dest)
    if action.nargs == argparse.OPTIONAL:
        return f"[{name}]"
    if action.nargs in (argparse.ZERO_OR_MORE, argparse.REMAINDER):
        return f"[{name}...]"
    return f"{name}..." if action.nargs == argparse.ONE_OR_MORE else name


def terminal_width() -> int:
    """Return the columns for help: of COLUMNS, else of the terminal, else 80; within 40 and 100."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns):
        width = int(columns)
    else:
        try:
            width = os.get_terminal_size().columns or _DEFAULT_WIDTH
        except OSError:
            width = _DEFAULT_WIDTH
    return max(_WIDTHS[0], min(width, _WIDTHS[1]))


def _format_examples(examples: Sequence[str]) -> str:
    return "".join(f"  {example}\n" for example in examples)


def _wrap(text: str, width: int, indent: str = "", rest_indent: str = "") -> list[str]:
    return TextWrapper(
        width=max(width, 11),
        initial_indent=indent,
        subsequent_indent=indent + rest_indent,
        break_long_words=False,
        break_on_hyphens=False,
    ).wrap(text)


class _HelpFormatter(argparse.HelpFormatter):
    """Paragraphs are wrapped at words; lines that start with a space are a table and stay as they are."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return _wrap(text, width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        paragraph: list[str] = []
        for line in [*text.splitlines(), ""]:
            if line and not line[0].isspace():
                paragraph.append(line)
                continue
            lines += _wrap(" ".join(paragraph), width, indent)
            paragraph = []
            lines.append(indent + line if line else "")
        return "\n".join(lines).rstrip()

    def _format_action(self, action: argparse.Action) -> str:
        if not isinstance(action, argparse._SubParsersAction):
            return super()._format_action(action)
        return self._join_parts(self._format_action(each) for each in action._get_subactions())

    def _join_parts(self, part_strings: Iterable[str]) -> str:
        return "".join(part for part in part_strings if part and part is not argparse.SUPPRESS)
