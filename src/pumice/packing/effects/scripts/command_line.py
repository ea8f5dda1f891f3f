"""Command lines of small programs: which words are options, which are operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.effects.scripts.scope import Value


class CommandLine(msgspec.Struct, frozen=True):
    """A command line taken apart: flags without their dashes, values of options, operands."""

    flags: frozenset[str]
    values: dict[str, str]
    operands: tuple[str, ...]


def parse_command_line(words: Iterable[Value], takes_value: Iterable[str]) -> CommandLine | None:
    """Take ``words`` (without the program's name) apart; None if one of them is unknown.

    ``takes_value`` names options (``m``, ``mode``) that have a value, in the same word or the next.
    """
    known = [word for word in words if word is not None]
    rest = list(words)
    if len(known) != len(rest):
        return None
    valued = frozenset(takes_value)
    flags: set[str] = set()
    values: dict[str, str] = {}
    operands: list[str] = []
    while known:
        word = known.pop(0)
        if word == "--":
            operands += known
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name not in valued:
                flags.add(name)
            elif equals or known:
                values[name] = value if equals else known.pop(0)
        elif len(word) > 1 and word[0] == "-":
            _short(word[1:], known, valued, flags, values)
        else:
            operands.append(word)
    return CommandLine(frozenset(flags), values, tuple(operands))


def _short(
    letters: str, rest: list[str], valued: frozenset[str], flags: set[str], values: dict[str, str]
) -> None:
    """Take ``-dm755`` or ``-m 755`` apart."""
    for index, letter in enumerate(letters):
        if letter not in valued:
            flags.add(letter)
            continue
        if letters[index + 1 :] or rest:
            values[letter] = letters[index + 1 :] or rest.pop(0)
        return
