"""Values and operators of the language: None, bool, int, string, list, tuple, dict, range and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pumice.slices.starlark.budget import CELLS_PER_ITEM, ScriptError, check_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.slices.starlark.budget import Budget

_MAX_VALUE_DEPTH = 40
_TYPE_NAMES = {
    type(None): "NoneType", bool: "bool", int: "int", str: "string", list: "list", tuple: "tuple",
    dict: "dict", range: "range",
}  # fmt: skip


def type_name(value: object) -> str:
    """Return the name of a value's type in the language."""
    return _TYPE_NAMES.get(type(value), "function")


def encode(text: str) -> bytes:
    """Return the bytes of a string."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    """Return the string of any bytes."""
    return data.decode("utf-8", "surrogateescape")


def length(value: Any) -> int:
    """Return the length of a string in bytes, or the number of items."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(encode(value))
    if type(value) in (list, tuple, dict, range):
        return len(value)
    raise ScriptError(f"a value of type {type_name(value)} has no length")


def is_true(value: Any) -> bool:
    """Return the truth of a value."""
    return bool(value) if type(value) in _TYPE_NAMES else True


def equal(left: Any, right: Any, budget: Budget, depth: int = 0) -> bool:
    """Whether two values are equal; values of different types never are."""
    budget.step()
    if depth > _MAX_VALUE_DEPTH:
        raise ScriptError("the value is nested too deeply")
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(
            equal(one, other, budget, depth + 1) for one, other in zip(left, right, strict=True)
        )
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            key in right and equal(value, right[key], budget, depth + 1) for key, value in left.items()
        )
    budget.allocate(len(left) // 64 if isinstance(left, str) else 0)
    return bool(left == right)


def check_key(value: Any) -> Any:
    """Return a value that can be the key of a dict."""
    if isinstance(value, tuple) and all(type(item) in (str, int) for item in value):
        return value
    if value is None or type(value) in (str, int):
        return value
    raise ScriptError(f"a value of type {type_name(value)} cannot be a key")


def compare(left: Any, right: Any, budget: Budget, depth: int = 0) -> int:
    """Return -1, 0 or 1 for two values of one type that has an order."""
    budget.step()
    if depth > _MAX_VALUE_DEPTH:
        raise ScriptError("the value is nested too deeply")
    if type(left) is not type(right) or type(left) not in (int, str, bool, list, tuple):
        raise ScriptError(f"cannot compare {type_name(left)} and {type_name(right)}")
    if isinstance(left, list | tuple):
        for one, other in zip(left, right, strict=False):
            order = compare(one, other, budget, depth + 1)
            if order:
                return order
        return (len(left) > len(right)) - (len(left) < len(right))
    if isinstance(left, str) and not (left.isascii() and right.isascii()):
        left, right = encode(left), encode(right)
    return 1 if left > right else -1 if left < right else 0


def contains(container: Any, item: Any, budget: Budget) -> bool:
    """Return the result of ``item in container``."""
    if isinstance(container, str):
        if not isinstance(item, str):
            raise ScriptError(f"'in' of a string needs a string, not {type_name(item)}")
        budget.step(1 + len(container) // 256)
        return item in container
    if isinstance(container, dict):
        return check_key(item) in container
    if isinstance(container, list | tuple | range):
        return any(equal(item, other, budget) for other in container)
    raise ScriptError(f"'in' does not work on {type_name(container)}")


def text_of(value: Any, budget: Budget, *, quote: bool = False, depth: int = 0) -> str:
    """Return ``str(value)``, or with ``quote`` ``repr(value)``."""
    budget.step()
    if depth > _MAX_VALUE_DEPTH:
        raise ScriptError("the value is nested too deeply")
    text = _text_of(value, budget, quote=quote, depth=depth)
    budget.allocate(len(text))
    return text


def _text_of(value: Any, budget: Budget, *, quote: bool, depth: int) -> str:
    if isinstance(value, str):
        return _quote(value) if quote else value
    if value is None or isinstance(value, bool | int):
        return str(value)

    def inner(item: Any) -> str:
        return text_of(item, budget, quote=True, depth=depth + 1)

    if isinstance(value, list):
        return f"[{', '.join(map(inner, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(inner, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{inner(key)}: {inner(item)}" for key, item in value.items()) + "}"
    if isinstance(value, range):
        return str(value)
    return "<function>"


def _quote(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(character, character) for character in text) + '"'


def item_of(container: Any, key: Any, budget: Budget) -> Any:
    """Return ``container[key]``; ``key`` may be a slice."""
    if isinstance(container, dict) and not isinstance(key, slice):
        if check_key(key) not in container:
            raise ScriptError(f"the dict has no key {text_of(key, budget, quote=True)[:80]}")
        return container[key]
    if not isinstance(container, str | list | tuple | range):
        raise ScriptError(f"a value of type {type_name(container)} has no items")
    sequence: Any = container
    if isinstance(container, str) and not container.isascii():
        sequence = encode(container)
    is_bytes = sequence is not container
    if isinstance(key, slice):
        budget.allocate(len(sequence))
        part = sequence[key]
    else:
        number = index_of(sequence, key)
        part = sequence[number : number + 1] if is_bytes else sequence[number]
    return decode(part) if is_bytes else part


def index_of(sequence: Sequence[Any], key: Any) -> int:
    """Return the position of an item from an index, which may count from the end."""
    if type(key) is not int:
        raise ScriptError(f"an index must be a number, not {type_name(key)}")
    number = key + len(sequence) if key < 0 else key
    if not 0 <= number < len(sequence):
        raise ScriptError(
            f"the index {key} is out of range" if key.bit_length() < 64 else "the index is out of range"
        )
    return number


def add(left: Any, right: Any, budget: Budget) -> Any:
    """Return ``left + right``."""
    if _are_integers(left, right):
        return check_integer(left + right)
    if type(left) is type(right) and isinstance(left, str | list | tuple):
        budget.allocate((len(left) + len(right)) * _cells_per_item(left))
        return left + right
    raise _type_error("+", left, right)


def _cells_per_item(value: object) -> int:
    return 1 if isinstance(value, str) else CELLS_PER_ITEM


def multiply(left: Any, right: Any, budget: Budget) -> Any:
    """Return ``left * right``: of numbers, or a string or list repeated."""
    if _are_integers(left, right):
        return check_integer(left * right)
    if _are_integers(left, 0):
        left, right = right, left
    if isinstance(left, str | list | tuple) and _are_integers(right, 0):
        budget.allocate(len(left) * max(right, 0) * _cells_per_item(left))
        return left * right
    raise _type_error("*", left, right)


def remainder(left: Any, right: Any, budget: Budget) -> Any:
    """Return ``left % right``: of numbers, or a string with ``%s``, ``%d`` and ``%r`` replaced."""
    if _are_integers(left, right):
        return left % _nonzero(right)
    if isinstance(left, str):
        return _format_percent(left, right if isinstance(right, tuple) else (right,), budget)
    raise _type_error("%", left, right)


def _format_percent(template: str, values: tuple[Any, ...], budget: Budget) -> str:
    parts = template.split("%")
    result = [parts[0]]
    remaining = list(values)
    at = 1
    while at < len(parts):
        part = parts[at]
        if not part and at + 1 < len(parts):  # %%
            result += ["%", parts[at + 1]]
            at += 2
            continue
        if part[:1] not in ("s", "d", "r") or not part:
            raise ScriptError(f"unknown conversion %{part[:1]} in a string")
        if not remaining:
            raise ScriptError("not enough values for the string")
        value = remaining.pop(0)
        if part[0] == "d" and not _are_integers(value, 0):
            raise ScriptError(f"%d needs a number, not {type_name(value)}")
        result += [text_of(value, budget, quote=part[0] == "r"), part[1:]]
        at += 1
    if remaining:
        raise ScriptError("too many values for the string")
    budget.allocate(sum(map(len, result)))
    return "".join(result)


def _shift(left: int, right: int, _: Budget) -> int:
    if not 0 <= right <= 512:
        raise ScriptError("the shift is out of range")
    return check_integer(left << right)


def _union(left: Any, right: Any, budget: Budget) -> Any:
    if isinstance(left, dict) and isinstance(right, dict):
        budget.allocate(len(left) + len(right))
        return left | right
    return _of_integers("|", lambda one, other: one | other)(left, right, budget)


def _of_integers(symbol: str, compute: Callable[[int, int], int]) -> Callable[[Any, Any, Budget], Any]:
    def operate(left: Any, right: Any, _: Budget) -> Any:
        if not _are_integers(left, right):
            raise _type_error(symbol, left, right)
        return check_integer(compute(left, right))

    return operate


def _are_integers(left: Any, right: Any) -> bool:
    return type(left) is int and type(right) is int


def _nonzero(number: int) -> int:
    if number == 0:
        raise ScriptError("division by zero")
    return number


def _type_error(symbol: str, left: Any, right: Any) -> ScriptError:
    return ScriptError(f"'{symbol}' does not work on {type_name(left)} and {type_name(right)}")


BINARY: dict[str, Callable[[Any, Any, Budget], Any]] = {
    "Add": add,
    "Sub": _of_integers("-", lambda left, right: left - right),
    "Mult": multiply,
    "FloorDiv": _of_integers("//", lambda left, right: left // _nonzero(right)),
    "Mod": remainder,
    "BitOr": _union,
    "BitAnd": _of_integers("&", lambda left, right: left & right),
    "BitXor": _of_integers("^", lambda left, right: left ^ right),
    "LShift": lambda left, right, budget: _of_integers("<<", lambda one, other: _shift(one, other, budget))(
        left, right, budget
    ),
    "RShift": _of_integers(">>", lambda left, right: left >> min(max(right, 0), 1 << 20)),
}
"""The binary operators by the name of their node."""
