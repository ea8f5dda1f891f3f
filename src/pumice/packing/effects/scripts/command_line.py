"""Command lines: options, their values, and operands (Utility Syntax Guidelines, and ``--long``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.scripts.scope import Value


class CommandLine(msgspec.Struct, frozen=True):
    """A parsed command line: flags without their dashes, values by option, and operands."""

    flags: frozenset[str]
    values: dict[str, str]
    operands: tuple[str, ...]


def parse_command_line(words: Iterable[Value], value_options: Iterable[str]) -> CommandLine | None:
    """Parse ``words`` (without the program's name); return None if one of them is unknown.

    ``value_options`` are the options (``m``, ``mode``) that take a value, in the same word or the next.
    """
    pending = [word for word in words if word is not None]
    all_words = list(words)
    if len(pending) != len(all_words):
        return None
    valued_names = frozenset(value_options)
    flags: set[str] = set()
    values: dict[str, str] = {}
    operands: list[str] = []
    while pending:
        word = pending.pop(0)
        if word == "--":
            operands += pending
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name not in valued_names:
                flags.add(name)
            elif equals or pending:
                values[name] = value if equals else pending.pop(0)
        elif len(word) > 1 and word[0] == "-":
            _parse_short_options(word[1:], pending, valued_names, flags, values)
        else:
            operands.append(word)
    return CommandLine(frozenset(flags), values, tuple(operands))


def _parse_short_options(
    letters: str,
    remaining_words: list[str],
    valued_names: frozenset[str],
    flags: set[str],
    values: dict[str, str],
) -> None:
    """Parse a group of short options: ``-dm755`` or ``-m 755``."""
    for index, letter in enumerate(letters):
        if letter not in valued_names:
            flags.add(letter)
            continue
        if letters[index + 1 :] or remaining_words:
            values[letter] = letters[index + 1 :] or remaining_words.pop(0)
        return
