"""The methods of strings, lists and dicts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pumice.slices.starlark import operators
from pumice.slices.starlark.budget import CELLS_PER_ITEM, ScriptError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.slices.starlark.budget import Budget

    Method = Callable[..., Any]

_SPACE = " \t\n\r\v\f"
_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*|[0-9]{1,4})?(![rs])?\}|[{}]")


def find_method(value: Any, name: str) -> tuple[Method, bool] | None:
    """Return the method of a value, and whether it changes it; None if there is none."""
    table = _METHODS.get(type(value), {})
    method = table.get(name)
    return (method, name in _CHANGING) if method else None


def _require(value: Any, kind: type, name: str) -> Any:
    if type(value) is not kind:
        expected = operators.type_name(kind())
        raise ScriptError(f"{name} needs a value of type {expected}, not {operators.type_name(value)}")
    return value


def _strings(values: Any, name: str) -> list[str]:
    items = list(values) if isinstance(values, list | tuple | dict) else None
    if items is None:
        raise ScriptError(f"{name} needs a list of strings, not {operators.type_name(values)}")
    return [_require(item, str, name) for item in items]


def _join(budget: Budget, text: str, values: Any) -> str:
    items = _strings(values, "join")
    budget.allocate(sum(map(len, items)) + len(text) * len(items))
    return text.join(items)


def _count_parts(text: str, separator: Any) -> int:
    """Return how many parts a text has at most."""
    if isinstance(separator, str) and separator:
        return text.count(separator) + 1
    return len(text) // 2 + 1


def _split(budget: Budget, text: str, separator: Any = None, limit: Any = -1) -> list[str]:
    budget.allocate(len(text) + CELLS_PER_ITEM * _count_parts(text, separator))
    if separator is None:
        return text.split(None, _require(limit, int, "split"))
    if not _require(separator, str, "split"):
        raise ScriptError("split needs a separator that is not empty")
    return text.split(separator, _require(limit, int, "split"))


def _rsplit(budget: Budget, text: str, separator: Any = None, limit: Any = -1) -> list[str]:
    budget.allocate(len(text) + CELLS_PER_ITEM * _count_parts(text, separator))
    if separator is not None and not _require(separator, str, "rsplit"):
        raise ScriptError("rsplit needs a separator that is not empty")
    return text.rsplit(separator, _require(limit, int, "rsplit"))


def _splitlines(budget: Budget, text: str, keepends: Any = False) -> list[str]:
    budget.allocate(len(text) + CELLS_PER_ITEM * text.count("\n"))
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
        return [line + "\n" for line in lines] if keepends else lines
    return [line + "\n" for line in lines[:-1]] + lines[-1:] if keepends else lines


def _replace(budget: Budget, text: str, old: Any, new: Any, count: Any = -1) -> str:
    _require(old, str, "replace")
    _require(new, str, "replace")
    occurrences = text.count(old)
    if _require(count, int, "replace") >= 0:
        occurrences = min(occurrences, count)
    budget.allocate(len(text) + occurrences * len(new))
    return text.replace(old, new, count)


def _strip(kind: str) -> Method:
    def strip(budget: Budget, text: str, characters: Any = None) -> str:
        budget.allocate(len(text))
        removed = _SPACE if characters is None else _require(characters, str, kind)
        return {"strip": text.strip, "lstrip": text.lstrip, "rstrip": text.rstrip}[kind](removed)

    return strip


def _affix(kind: str) -> Method:
    def test(budget: Budget, text: str, affix: Any) -> bool:
        budget.step()
        affixes = affix if isinstance(affix, tuple) else (affix,)
        checked = tuple(_require(item, str, kind) for item in affixes)
        return text.startswith(checked) if kind == "startswith" else text.endswith(checked)

    return test


def _without_affix(kind: str) -> Method:
    def remove(budget: Budget, text: str, affix: Any) -> str:
        budget.allocate(len(text))
        _require(affix, str, kind)
        return text.removeprefix(affix) if kind == "removeprefix" else text.removesuffix(affix)

    return remove


def _find(kind: str) -> Method:
    def find(budget: Budget, text: str, part: Any) -> int:
        budget.step(1 + len(text) // 256)
        data, needle = operators.encode(text), operators.encode(_require(part, str, kind))
        at = data.rfind(needle) if kind in ("rfind", "rindex") else data.find(needle)
        if at < 0 and kind.endswith("index"):
            raise ScriptError("the string does not contain this text")
        return at

    return find


def _count(budget: Budget, text: str, part: Any) -> int:
    budget.step(1 + len(text) // 256)
    return text.count(_require(part, str, "count"))


def _change_case(kind: str) -> Method:
    def change(budget: Budget, text: str) -> str:
        budget.allocate(len(text))
        changed: str = getattr(text, kind)()
        return changed

    return change


def _test(kind: str) -> Method:
    def test(budget: Budget, text: str) -> bool:
        budget.step(1 + len(text) // 256)
        return bool(getattr(text, kind)())

    return test


def _partition(kind: str) -> Method:
    def partition(budget: Budget, text: str, separator: Any) -> tuple[str, str, str]:
        budget.allocate(len(text))
        if not _require(separator, str, kind):
            raise ScriptError(f"{kind} needs a separator that is not empty")
        return text.partition(separator) if kind == "partition" else text.rpartition(separator)

    return partition


def _format(budget: Budget, text: str, *values: Any, **named: Any) -> str:
    position = 0
    parts: list[str] = []
    at = 0
    for match in _FIELD.finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
        if match[0] in ("{{", "}}"):
            parts.append(match[0][0])
            continue
        if not match[0].startswith("{") or not match[0].endswith("}"):
            raise ScriptError("format does not support this replacement field")
        name = match[1] or str(position)
        position += not match[1]
        parts.append(operators.text_of(_field(name, values, named), budget, quote=match[2] == "!r"))
    parts.append(text[at:])
    budget.allocate(sum(map(len, parts)))
    return "".join(parts)


def _field(name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if name.isdigit():
        if int(name) >= len(values):
            raise ScriptError(f"format has no value number {name}")
        return values[int(name)]
    if name not in named:
        raise ScriptError(f"format has no value {name!r}")
    return named[name]


def _append(budget: Budget, items: list[Any], value: Any) -> None:
    budget.allocate(1)
    items.append(value)


def _extend(budget: Budget, items: list[Any], values: Any) -> None:
    if not isinstance(values, list | tuple | dict | range):
        raise ScriptError(f"extend needs a list, not {operators.type_name(values)}")
    budget.allocate(len(values))
    items.extend(list(values))


def _insert(budget: Budget, items: list[Any], at: Any, value: Any) -> None:
    budget.allocate(1)
    budget.step(1 + len(items) // 256)
    items.insert(_require(at, int, "insert"), value)


def _pop(budget: Budget, items: list[Any], at: Any = -1) -> Any:
    budget.step(1 + len(items) // 256)
    try:
        return items.pop(_require(at, int, "pop"))
    except (IndexError, OverflowError):
        raise ScriptError("the index is out of range") from None


def _index(budget: Budget, items: list[Any], value: Any) -> int:
    for number, item in enumerate(items):
        if operators.equal(item, value, budget):
            return number
    raise ScriptError("the list does not contain this value")


def _remove(budget: Budget, items: list[Any], value: Any) -> None:
    del items[_index(budget, items, value)]


def _clear(budget: Budget, items: Any) -> None:
    budget.step()
    items.clear()


def _update(budget: Budget, items: dict[Any, Any], values: Any = None, **named: Any) -> None:
    if values is not None and not isinstance(values, dict):
        raise ScriptError(f"update needs a dict, not {operators.type_name(values)}")
    budget.allocate(len(values or ()) + len(named))
    items.update(values or {}, **named)


def _keys(budget: Budget, items: dict[Any, Any]) -> list[Any]:
    budget.allocate(CELLS_PER_ITEM * len(items))
    return list(items)


def _values(budget: Budget, items: dict[Any, Any]) -> list[Any]:
    budget.allocate(CELLS_PER_ITEM * len(items))
    return list(items.values())


def _items(budget: Budget, items: dict[Any, Any]) -> list[Any]:
    budget.allocate(CELLS_PER_ITEM * len(items))
    return list(items.items())


def _get(budget: Budget, items: dict[Any, Any], key: Any, default: Any = None) -> Any:
    budget.step()
    return items.get(operators.check_key(key), default)


def _set_default(budget: Budget, items: dict[Any, Any], key: Any, default: Any = None) -> Any:
    budget.allocate(1)
    return items.setdefault(operators.check_key(key), default)


_MISSING = object()


def _pop_key(budget: Budget, items: dict[Any, Any], key: Any, default: Any = _MISSING) -> Any:
    budget.step()
    value = items.pop(operators.check_key(key), default)
    if value is _MISSING:
        raise ScriptError("the dict does not contain this key")
    return value


_METHODS: dict[type, dict[str, Method]] = {
    str: {
        "join": _join,
        "split": _split,
        "rsplit": _rsplit,
        "splitlines": _splitlines,
        "replace": _replace,
        "format": _format,
        "count": _count,
        **{kind: _strip(kind) for kind in ("strip", "lstrip", "rstrip")},
        **{kind: _affix(kind) for kind in ("startswith", "endswith")},
        **{kind: _without_affix(kind) for kind in ("removeprefix", "removesuffix")},
        **{kind: _find(kind) for kind in ("find", "rfind", "index", "rindex")},
        **{kind: _change_case(kind) for kind in ("lower", "upper", "title", "capitalize")},
        **{kind: _test(kind) for kind in ("isalnum", "isalpha", "isdigit", "islower", "isspace", "isupper")},
        **{kind: _partition(kind) for kind in ("partition", "rpartition")},
    },
    list: {
        "append": _append,
        "extend": _extend,
        "insert": _insert,
        "pop": _pop,
        "index": _index,
        "remove": _remove,
        "clear": _clear,
    },
    dict: {
        "keys": _keys,
        "values": _values,
        "items": _items,
        "get": _get,
        "setdefault": _set_default,
        "pop": _pop_key,
        "update": _update,
        "clear": _clear,
    },
}
_CHANGING = frozenset(("append", "extend", "insert", "pop", "remove", "clear", "setdefault", "update"))
