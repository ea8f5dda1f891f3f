"""The functions that every script has."""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING, Any

from pumice.slices.starlark import operators
from pumice.slices.starlark.budget import CELLS_PER_ITEM, ScriptError, check_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.slices.starlark.budget import Budget

    Call = Callable[[Any, list[Any]], Any]
    BuiltinFunction = Callable[..., Any]

_MAX_DIGITS = 1200


def items_of(value: Any) -> Sequence[Any]:
    """Return the items of a value that can be iterated; strings cannot."""
    if isinstance(value, list | tuple | range):
        return value
    if isinstance(value, dict):
        return list(value)
    raise ScriptError(f"a value of type {operators.type_name(value)} cannot be iterated")


def make_functions(budget: Budget, call: Call) -> dict[str, BuiltinFunction]:
    """Return the functions by name; ``call`` calls a function of the script."""
    builtins = _Builtins(budget, call)
    return {
        "len": operators.length,
        "range": _make_range,
        "str": lambda value: operators.text_of(value, budget),
        "repr": lambda value: operators.text_of(value, budget, quote=True),
        "sorted": builtins.sort,
        "reversed": lambda value: builtins.copy(value)[::-1],
        "enumerate": builtins.number,
        "zip": builtins.zip,
        "list": lambda value=(): builtins.copy(value),
        "tuple": lambda value=(): tuple(builtins.copy(value)),
        "dict": builtins.make_dict,
        "bool": lambda value=False: operators.is_true(value),
        "int": _make_integer,
        "type": operators.type_name,
        "any": lambda value: any(map(operators.is_true, builtins.copy(value))),
        "all": lambda value: all(map(operators.is_true, builtins.copy(value))),
        "min": lambda *values, key=None: builtins.find_extreme(-1, values, key),
        "max": lambda *values, key=None: builtins.find_extreme(1, values, key),
        "fail": builtins.fail,
        "print": lambda *_: None,
    }


class _Builtins:
    """The functions that use the budget."""

    def __init__(self, budget: Budget, call: Call) -> None:
        self._budget = budget
        self._call = call

    def copy(self, value: Any) -> list[Any]:
        items = items_of(value)
        self._budget.allocate(len(items) * CELLS_PER_ITEM)
        self._budget.step(1 + len(items) // 16)
        return list(items)

    def sort(self, value: Any, key: Any = None, reverse: Any = False) -> list[Any]:
        items = self.copy(value)
        keys = items if key is None else [self._call(key, [item]) for item in items]

        def compare(left: int, right: int) -> int:
            return operators.compare(keys[left], keys[right], self._budget)

        numbers = sorted(range(len(items)), key=cmp_to_key(compare), reverse=operators.is_true(reverse))
        return [items[number] for number in numbers]

    def find_extreme(self, sign: int, values: Sequence[Any], key: Any) -> Any:
        items = self.copy(values[0]) if len(values) == 1 else list(values)
        if not items:
            raise ScriptError("there is no value to choose from")
        keys = [self._call(key, [item]) if key else item for item in items]
        best = 0
        for number in range(1, len(items)):
            if operators.compare(keys[number], keys[best], self._budget) * sign > 0:
                best = number
        return items[best]

    def number(self, value: Any, start: Any = 0) -> list[Any]:
        return list(enumerate(self.copy(value), _make_integer(start)))

    def zip(self, *values: Any) -> list[Any]:
        return list(zip(*map(self.copy, values), strict=False))

    def make_dict(self, value: Any = None, **named: Any) -> dict[Any, Any]:
        pairs = list(value.items()) if isinstance(value, dict) else self.copy(() if value is None else value)
        result: dict[Any, Any] = {}
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ScriptError("dict needs pairs")
            result[operators.check_key(pair[0])] = pair[1]
        self._budget.allocate((len(result) + len(named)) * CELLS_PER_ITEM)
        return result | named

    def fail(self, *values: Any) -> None:
        text = " ".join(operators.text_of(value, self._budget) for value in values)
        raise ScriptError(f"fail: {text[:400]}")


def _make_range(*numbers: Any) -> range:
    if not 1 <= len(numbers) <= 3 or not all(type(number) is int for number in numbers):
        raise ScriptError("range needs one to three numbers")
    if any(abs(number) > 1 << 40 for number in numbers) or numbers[2:] == (0,):
        raise ScriptError("range has a number that is out of range")
    return range(*numbers)


def _make_integer(value: Any) -> int:
    if type(value) in (int, bool):
        return int(value)
    if not isinstance(value, str) or len(value) > _MAX_DIGITS or not value.lstrip("+-").isdecimal():
        raise ScriptError("int needs a number or a string of digits")
    try:
        return check_integer(int(value))
    except ValueError:
        raise ScriptError("int needs a number or a string of digits") from None
