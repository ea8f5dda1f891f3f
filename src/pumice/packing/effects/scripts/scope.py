"""Variables of a script and what words come to with them (Shell Command Language, 2.5 and 2.6)."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.formats.shellwords import Part, Word

Value = str | None
"""A word's text, or None where it cannot be known."""


_MAX_TEXT = 64 << 10
_MAX_TRIMMED = 256
_MAX_FIELDS = 2048


class Scope:
    """Variables and arguments; ``output`` answers what a command prints.

    ``unset_is_empty`` says whether a variable that was never set is known to be empty: not any more
    once a file was read that nobody knows.
    """

    def __init__(
        self, arguments: Sequence[Value], values: dict[str, str], output: Callable[[str], Value]
    ) -> None:
        self.arguments: list[Value] = list(arguments)
        self.values: dict[str, Value] = dict(values)
        self.unset_is_empty = True
        self._output = output

    def fields(self, words: Sequence[Word]) -> list[Value]:
        """Return the fields of ``words``: expanded and split."""
        found = [field for word in words for field in self._expand(word)]
        return found if len(found) <= _MAX_FIELDS else [None]

    def one(self, word: Word) -> Value:
        """Return a word as one text, not split: as in assignments and patterns."""
        pieces = [part.text if part.kind == "text" else self._value(part) for part in word]
        text = "".join(piece for piece in pieces if piece is not None)
        return None if None in pieces or len(text) > _MAX_TEXT else text

    def _expand(self, word: Word) -> list[Value]:
        fields: list[Value] = []
        current: Value = ""
        started = False
        for part in word:
            if part.kind == "text":
                current = None if current is None else current + part.text
                started = started or bool(part.text) or part.quoted
                continue
            if _is_all(part):
                fields += self.arguments
                started = current != ""
                continue
            value = self._value(part)
            if value is None or part.quoted:
                current = None if value is None or current is None else current + value
                started = True
                continue
            pieces = value.split()
            if not pieces:
                continue
            for piece in pieces[:-1]:
                fields.append(None if current is None else current + piece)
                current = ""
            current = None if current is None else current + pieces[-1]
            started = True
        if current is not None and len(current) > _MAX_TEXT:
            current = None
        return [*fields, current] if started else fields

    def _value(self, part: Part) -> Value:
        if part.kind == "unknown":
            return self._output(part.text)
        known, value = self._parameter(part.text)
        if not known and self.unset_is_empty:
            value = ""
        if part.operator in ("%", "%%", "#", "##"):
            return _trimmed(value, part.operator, self.one(part.operand))
        if value is None or not part.operator:
            return value
        counts = known and (value != "" or not part.operator.startswith(":"))
        if part.operator.endswith("+"):
            return self.one(part.operand) if counts else ""
        if counts or part.operator.endswith("?"):
            return value
        value = self.one(part.operand)
        if part.operator.endswith("="):
            self.values[part.text] = value
        return value

    def _parameter(self, name: str) -> tuple[bool, Value]:
        if name.isdecimal() and name.isascii() and name != "0":
            index = int(name[:4]) - 1
            return True, self.arguments[index] if index < len(self.arguments) else ""
        if name == "#":
            return True, str(len(self.arguments))
        if name in ("@", "*"):
            known = [word for word in self.arguments if word is not None]
            return True, " ".join(known) if len(known) == len(self.arguments) else None
        if not name[0].isalpha() and name[0] != "_":
            return True, None
        return name in self.values, self.values.get(name)


def is_literal(word: Value) -> bool:
    """Whether the word of a loop is known, and no pattern for names of files."""
    return word is not None and not any(char in word for char in "*?[")


def _is_all(part: Part) -> bool:
    """Whether it stands for all arguments as words of their own: ``"$@"``, ``$*``."""
    if part.kind != "parameter" or part.operator:
        return False
    return part.text == "@" or (part.text == "*" and not part.quoted)


def _trimmed(value: Value, operator: str, pattern: Value) -> Value:
    """Return ``${value%pattern}`` and its kin."""
    if value is None or pattern is None or max(len(value), len(pattern)) > _MAX_TRIMMED:
        return None
    cuts = range(len(value) + 1)
    if operator in ("%", "##"):
        cuts = cuts[::-1]
    for cut in cuts:
        removed, rest = (value[cut:], value[:cut]) if operator[0] == "%" else (value[:cut], value[cut:])
        if fnmatch.fnmatchcase(removed, pattern):
            return rest
    return value
