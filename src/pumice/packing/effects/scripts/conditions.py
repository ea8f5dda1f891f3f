"""``test`` and ``[`` (IEEE Std 1003.1, test), where not everything is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.packing.effects.scripts.scope import Value


def test(words: list[Value], unary: Callable[[str, str], bool | None]) -> bool | None:
    """Return what ``test WORDS`` says; ``unary`` answers ``-e PATH`` and its kin."""
    for joint in ("-o", "-a"):
        if joint in words and len(words) > 3:
            at = words.index(joint)
            sides = {test(words[:at], unary), test(words[at + 1 :], unary)}
            decided = joint == "-o"
            return decided if decided in sides else (None if None in sides else not decided)
    if words and words[0] == "!" and len(words) > 1:
        status = test(words[1:], unary)
        return None if status is None else not status
    if len(words) == 1:
        return None if words[0] is None else words[0] != ""
    if len(words) == 2:
        return _unary(words[0], words[1], unary)
    return _binary(*words) if len(words) == 3 else (None if words else False)


def _unary(flag: Value, word: Value, unary: Callable[[str, str], bool | None]) -> bool | None:
    if flag is None or word is None:
        return None
    if flag in ("-n", "-z"):
        return (word != "") is (flag == "-n")
    return unary(flag, word)


def _binary(left: Value, operator: Value, right: Value) -> bool | None:
    if left is None or right is None:
        return None
    if operator in ("=", "=="):
        return left == right
    if operator == "!=":
        return left != right
    if operator in _NUMERIC and all(side.isdecimal() and len(side) < 18 for side in (left, right)):
        return _NUMERIC[operator](int(left), int(right))
    return None


_NUMERIC: dict[Value, Callable[[int, int], bool]] = {
    "-eq": lambda one, other: one == other,
    "-ne": lambda one, other: one != other,
    "-lt": lambda one, other: one < other,
    "-le": lambda one, other: one <= other,
    "-gt": lambda one, other: one > other,
    "-ge": lambda one, other: one >= other,
}
