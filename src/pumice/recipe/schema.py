"""The table of keys as JSON Schema (draft 2020-12), for editors.

It accepts every valid recipe, and rejects what can be rejected without reading other files or
comparing values. Editors validate values as YAML types them, so where a string may look like a number
or a boolean, those are accepted too. A string with ``${NAME}`` is accepted everywhere: only the loader knows
the values of arguments.
"""

from __future__ import annotations

from typing import Any

from pumice.recipe.arguments import REFERENCE
from pumice.recipe.keys import FILE, PERMISSION, RECIPE
from pumice.recipe.kinds import (
    Choice,
    Duration,
    Flag,
    Integer,
    Key,
    Kind,
    ListOf,
    MapOf,
    Mode,
    Table,
    Text,
    TextOrTable,
)

_DURATION = "^[0-9]{1,7}[smh]?$"
_MODE = "^(0o|0)?[0-7]{3,4}$"


def recipe_schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe file, as JSON values."""
    required = [key.name for key in RECIPE.keys if key.required]
    nested = {
        key.name: {"required": [item.name for item in key.kind.keys if item.required]}
        for key in RECIPE.keys
        if key.required and isinstance(key.kind, Table)
    }
    table = _table_schema(RECIPE)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pumice recipe",
        **table,
        # Required keys may be in a recipe that this one extends.
        "anyOf": [{"required": ["extend"]}, {"required": required, "properties": nested}],
    }


def _table_schema(table: Table) -> dict[str, Any]:
    table_schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: _key_schema(key) for key in table.keys},
    }
    if table is FILE:
        table_schema["oneOf"] = [{"required": [name]} for name in ("from", "text", "link", "directory")]
    if table is PERMISSION:
        table_schema["anyOf"] = [{"required": [name]} for name in ("mode", "owner")]
    return table_schema


def _key_schema(key: Key) -> dict[str, Any]:
    about = key.description.replace("`", "'")
    return {"description": f"{about} For example: {key.example}", **_kind_schema(key.kind)}


def _kind_schema(kind: Kind) -> dict[str, Any]:
    if isinstance(kind, Table):
        return _table_schema(kind)
    if isinstance(kind, TextOrTable):
        table = {
            **_table_schema(kind.table),
            "required": [key.name for key in kind.table.keys if key.required],
        }
        return {"anyOf": [_kind_schema(kind.text), table]}
    if isinstance(kind, ListOf):
        return _list_schema(kind)
    if isinstance(kind, MapOf):
        names = {name: value for name, value in _text_schema(kind.key).items() if name != "type"}
        value = _kind_schema(kind.value)
        if kind.optional:
            value["type"] = [*value["type"], "null"]
        return {"type": "object", "propertyNames": names, "additionalProperties": value}
    if isinstance(kind, Text):
        return _or_argument(_text_schema(kind)) if kind.grammar else _text_schema(kind)
    if isinstance(kind, Integer):
        return _or_argument({"type": "integer", "minimum": kind.low, "maximum": kind.high})
    return _scalar_schema(kind)


def _scalar_schema(kind: Flag | Mode | Duration | Choice) -> dict[str, Any]:
    if isinstance(kind, Choice):
        return _or_argument({"enum": list(kind.values)})
    if isinstance(kind, Mode):
        return _or_argument({"type": ["string", "integer"], "pattern": _MODE, "minimum": 0, "maximum": 7777})
    if isinstance(kind, Duration):
        return _or_argument({"type": ["string", "integer"], "pattern": _DURATION, "minimum": 0})
    return _or_argument({"type": "boolean"})


def _or_argument(value_schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that also accepts a string with ``${NAME}``, whose value is not known to an editor."""
    return {"anyOf": [value_schema, {"type": "string", "pattern": REFERENCE}]}


def _list_schema(kind: ListOf) -> dict[str, Any]:
    item = _kind_schema(kind.item)
    if isinstance(kind.item, Table):
        item = {**item, "required": [key.name for key in kind.item.keys if key.required]}
        shorthand = [_kind_schema(key.kind) for key in kind.item.keys if key.name == kind.item.shorthand]
        item = {"anyOf": [*shorthand, item]} if shorthand else item
    list_schema: dict[str, Any] = {"type": "array", "items": item}
    if kind.min_length:
        list_schema["minItems"] = kind.min_length
    if kind.identity in ("value", "package"):
        list_schema["uniqueItems"] = True
    return {"anyOf": [{**item, "minLength": 1}, list_schema]} if kind.single else list_schema


def _text_schema(kind: Text) -> dict[str, Any]:
    text_schema: dict[str, Any] = {"type": ["string", "number", "boolean"] if kind.loose else "string"}
    if not kind.allows_empty:
        text_schema["minLength"] = 1
    if kind.grammar is not None:
        text_schema["pattern"] = f"^(?:{kind.grammar.pattern})$"
        text_schema["maxLength"] = kind.grammar.max_length
    return text_schema
