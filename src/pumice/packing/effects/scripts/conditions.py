"""``test`` and ``[`` (IEEE Std 1003.1, test) with operands that may be unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.packing.effects.scripts.scope import literal_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.packing.effects.scripts.scope import Value


def evaluate_test(words: list[Value], file_test: Callable[[str, str], bool | None]) -> bool | None:
    """Return the result of ``test WORDS``, None if unknown; ``file_test`` evaluates ``-e PATH`` and so on."""
    for operator in ("-o", "-a"):
        if operator in words and len(words) > 3:
            index = words.index(operator)
            sides = {evaluate_test(words[:index], file_test), evaluate_test(words[index + 1 :], file_test)}
            deciding_value = operator == "-o"
            return (
                deciding_value if deciding_value in sides else (None if None in sides else not deciding_value)
            )
    if words and words[0] == "!" and len(words) > 1:
        status = evaluate_test(words[1:], file_test)
        return None if status is None else not status
    if len(words) == 1:
        return None if words[0] is None else words[0] != ""
    if len(words) == 2:
        return _evaluate_unary(words[0], words[1], file_test)
    return _evaluate_binary(*words) if len(words) == 3 else (None if words else False)


def _evaluate_unary(flag: Value, word: Value, file_test: Callable[[str, str], bool | None]) -> bool | None:
    if flag is None or word is None:
        return None
    if flag in ("-n", "-z"):
        return (word != "") is (flag == "-n")
    return file_test(flag, word)


def _evaluate_binary(left: Value, operator: Value, right: Value) -> bool | None:
    left, right = literal_value(left), literal_value(right)
    if left is None or right is None:
        return None
    if operator in ("=", "=="):
        return left == right
    if operator == "!=":
        return left != right
    if operator in _NUMERIC_OPERATORS and all(side.isdecimal() and len(side) < 18 for side in (left, right)):
        return _NUMERIC_OPERATORS[operator](int(left), int(right))
    return None


_NUMERIC_OPERATORS: dict[Value, Callable[[int, int], bool]] = {
    "-eq": lambda left, right: left == right,
    "-ne": lambda left, right: left != right,
    "-lt": lambda left, right: left < right,
    "-le": lambda left, right: left <= right,
    "-gt": lambda left, right: left > right,
    "-ge": lambda left, right: left >= right,
}
