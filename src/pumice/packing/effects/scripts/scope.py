"""Variables of a script and word expansions (Shell Command Language, 2.5 and 2.6)."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.formats.shellwords import Part, Word

Value = str | None
"""The text of a word or variable, None if it is unknown."""

HOST_NAME = "\ue000"
"""Stands for the name of the machine in values; it is different in each container."""

_MAX_TEXT = 64 << 10
_MAX_TRIMMED = 256
_MAX_FIELDS = 2048


class Scope:
    """Variables and arguments; ``substitute_command`` returns the output of a command.

    ``unset_is_empty`` is false once a file of unknown content was sourced: it may have set variables.
    """

    def __init__(
        self, arguments: Sequence[Value], values: dict[str, str], substitute_command: Callable[[str], Value]
    ) -> None:
        self.arguments: list[Value] = list(arguments)
        self.values: dict[str, Value] = dict(values)
        self.unset_is_empty = True
        self._substitute_command = substitute_command

    def expand_fields(self, words: Sequence[Word]) -> list[Value]:
        """Return the fields of ``words``, expanded and split."""
        fields = [field for word in words for field in self._expand_and_split(word)]
        return fields if len(fields) <= _MAX_FIELDS else [None]

    def expand_word(self, word: Word) -> Value:
        """Return the expansion of a word without splitting, as in assignments and patterns."""
        part_values = [part.text if part.kind == "text" else self._expand_part(part) for part in word]
        text = "".join(value for value in part_values if value is not None)
        return None if None in part_values or len(text) > _MAX_TEXT else text

    def _expand_and_split(self, word: Word) -> list[Value]:
        fields: list[Value] = []
        current: Value = ""
        has_field = False
        for part in word:
            if part.kind == "text":
                current = None if current is None else current + part.text
                has_field = has_field or bool(part.text) or part.quoted
                continue
            if _is_all_arguments(part):
                fields += self.arguments
                has_field = current != ""
                continue
            value = self._expand_part(part)
            if value is None or part.quoted:
                current = None if value is None or current is None else current + value
                has_field = True
                continue
            split_fields = value.split()
            if not split_fields:
                continue
            for field in split_fields[:-1]:
                fields.append(None if current is None else current + field)
                current = ""
            current = None if current is None else current + split_fields[-1]
            has_field = True
        if current is not None and len(current) > _MAX_TEXT:
            current = None
        return [*fields, current] if has_field else fields

    def _expand_part(self, part: Part) -> Value:
        if part.kind == "unknown":
            return self._substitute_command(part.text)
        is_set, value = self._look_up_parameter(part.text)
        if not is_set and self.unset_is_empty:
            value = ""
        if part.operator in ("%", "%%", "#", "##"):
            return _remove_affix(value, part.operator, self.expand_word(part.operand))
        if value is None or not part.operator:
            return value
        has_value = is_set and (value != "" or not part.operator.startswith(":"))
        if part.operator.endswith("+"):
            return self.expand_word(part.operand) if has_value else ""
        if has_value or part.operator.endswith("?"):
            return value
        value = self.expand_word(part.operand)
        if part.operator.endswith("="):
            self.values[part.text] = value
        return value

    def _look_up_parameter(self, name: str) -> tuple[bool, Value]:
        if name.isdecimal() and name.isascii() and name != "0":
            index = int(name[:4]) - 1
            return True, self.arguments[index] if index < len(self.arguments) else ""
        if name == "#":
            return True, str(len(self.arguments))
        if name in ("@", "*"):
            literal_arguments = [word for word in self.arguments if word is not None]
            return True, " ".join(literal_arguments) if len(literal_arguments) == len(
                self.arguments
            ) else None
        if not name[0].isalpha() and name[0] != "_":
            return True, None
        return name in self.values, self.values.get(name)


def is_literal_word(word: Value) -> bool:
    """Whether a word is known and not a pattern of file names."""
    return word is not None and not any(char in word for char in f"*?[{HOST_NAME}")


def literal_value(value: Value) -> Value:
    """Return ``value``, None if it contains the name of the machine."""
    return None if value is None or HOST_NAME in value else value


def _is_all_arguments(part: Part) -> bool:
    """Whether a part expands to one field for each argument: ``"$@"``, ``$*``."""
    if part.kind != "parameter" or part.operator:
        return False
    return part.text == "@" or (part.text == "*" and not part.quoted)


def _remove_affix(value: Value, operator: str, pattern: Value) -> Value:
    """Return ``value`` without the prefix or suffix ``pattern`` (``%``, ``%%``, ``#``, ``##``)."""
    if value is None or pattern is None or max(len(value), len(pattern)) > _MAX_TRIMMED:
        return None
    cuts = range(len(value) + 1)
    if operator in ("%", "##"):
        cuts = cuts[::-1]
    for cut in cuts:
        affix, remainder = (value[cut:], value[:cut]) if operator[0] == "%" else (value[:cut], value[cut:])
        if fnmatch.fnmatchcase(affix, pattern):
            return remainder
    return value
