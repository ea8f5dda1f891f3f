"""The fields that templates of ``--format`` may use, by the types of results."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec

from pumice.errors import UsageError


def item_type(result_type: Any) -> Any:
    """Return the type of the items of a list or the values of a dictionary; any other type itself."""
    result_type = _without_none(result_type)
    origin, arguments = typing.get_origin(result_type), typing.get_args(result_type)
    if origin in (list, tuple) and arguments:
        return _without_none(arguments[0])
    return _without_none(arguments[1]) if origin is dict and len(arguments) == 2 else result_type


def field_type(current: Any, name: str) -> Any:
    """Return the type of the field ``name``; raises UsageError if there is none."""
    current = _without_none(current)
    if current is Any:
        return Any
    if typing.get_origin(current) is dict:
        return item_type(current)
    fields = _fields(current)
    matches = [field for field in fields if _normalize(field) == _normalize(name)]
    if not matches:
        raise _unknown_field(name, fields)
    return fields[matches[0]]


def get_field(value: Any, name: str) -> Any:
    """Return the field ``name`` of a dictionary, None if there is none."""
    if not isinstance(value, dict):
        return None
    if name in value:
        return value[name]
    return next((value[key] for key in value if _normalize(key) == _normalize(name)), None)


def _without_none(candidate: Any) -> Any:
    if typing.get_origin(candidate) not in (typing.Union, types.UnionType):
        return candidate
    members = [member for member in typing.get_args(candidate) if member is not type(None)]
    return members[0] if len(members) == 1 else Any


def _fields(current: Any) -> dict[str, Any]:
    if isinstance(current, type) and issubclass(current, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(current)}
    return {}


def _normalize(name: str) -> str:
    return name.replace("_", "").lower()


def _unknown_field(name: str, fields: dict[str, Any]) -> UsageError:
    from difflib import get_close_matches

    names = [_go_name(field) for field in fields]
    if not names:
        return UsageError(
            f"invalid template in --format: the value has no field .{name[:60]}", hint="use {{.}}"
        )
    matches = get_close_matches(_go_name(name)[:60], names, n=1)
    listed = ", ".join(f".{field}" for field in names)
    hint = f"did you mean .{matches[0]}? the fields are {listed}" if matches else f"the fields are {listed}"
    return UsageError(f"invalid template in --format: unknown field .{name[:60]}", hint=hint)


def _go_name(field: str) -> str:
    """Return a field's name as people write it in templates: ``MediaType``, ``ID``."""
    words = [word for word in field.split("_") if word]
    return "".join(
        word.upper() if word in ("id", "uid", "gid") else word[:1].upper() + word[1:] for word in words
    )
