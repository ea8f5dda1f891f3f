"""Filters in pipelines of command substitutions: ``$(echo a:b | cut -d: -f1)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.scripts.command_line import parse_command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.packing.effects.scripts.scope import Value


def filter_text(words: Sequence[str], text: Value) -> Value:
    """Return the output of a filter that reads ``text``; None if it is unknown."""
    return _cut(words, text) if words[0] == "cut" and text is not None else None


def _cut(words: Sequence[str], text: str) -> Value:
    """Carry out ``cut -d CHARACTER -f NUMBER`` (IEEE Std 1003.1, cut)."""
    line = parse_command_line(words[1:], ("d", "f", "delimiter", "fields"))
    if line is None or line.operands or line.flags:
        return None
    delimiter = line.values.get("d") or line.values.get("delimiter") or "\t"
    number = line.values.get("f") or line.values.get("fields") or ""
    if len(delimiter) != 1 or not number.isdecimal() or len(number) > 3 or number == "0":
        return None
    index = int(number) - 1
    rows = [row.split(delimiter) for row in text.split("\n")]
    # a line without the delimiter is printed as it is
    return "\n".join(row[0] if len(row) == 1 else "".join(row[index : index + 1]) for row in rows)
