"""The table of keys as JSON Schema (draft 2020-12), for editors.

It accepts every recipe that loads and refuses what can be refused without looking at other files
or comparing values. Editors hand it values as YAML's own rules type them, so wherever a text may
look like a number or a truth value, those are accepted too.
"""

from __future__ import annotations

from typing import Any

from pumice.recipe.keys import FILE, RECIPE
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
)

_DURATION = "^[0-9]{1,7}[smh]?$"
_MODE = "^(0o|0)?[0-7]{3,4}$"


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe file."""
    required = [key.name for key in RECIPE.keys if key.required]
    inner = {
        key.name: {"required": [item.name for item in key.kind.keys if item.required]}
        for key in RECIPE.keys
        if key.required and isinstance(key.kind, Table)
    }
    found = _table(RECIPE)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pumice recipe",
        **found,
        # What is missing here may stand in the recipe that this one extends.
        "anyOf": [{"required": ["extend"]}, {"required": required, "properties": inner}],
    }


def _table(table: Table) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: _key(key) for key in table.keys},
    }
    if table is FILE:
        found["oneOf"] = [{"required": [name]} for name in ("from", "text", "link", "directory")]
    return found


def _key(key: Key) -> dict[str, Any]:
    about = key.about.replace("`", "'")
    return {"description": f"{about} For example: {key.example}", **_kind(key.kind)}


def _kind(kind: Kind) -> dict[str, Any]:
    if isinstance(kind, Table):
        return _table(kind)
    if isinstance(kind, ListOf):
        return _list(kind)
    if isinstance(kind, MapOf):
        names = {name: value for name, value in _text(kind.key).items() if name != "type"}
        return {"type": "object", "propertyNames": names, "additionalProperties": _text(kind.value)}
    if isinstance(kind, Text):
        return _text(kind)
    if isinstance(kind, Integer):
        return {"type": "integer", "minimum": kind.low, "maximum": kind.high}
    return _word(kind)


def _word(kind: Flag | Mode | Duration | Choice) -> dict[str, Any]:
    if isinstance(kind, Choice):
        return {"enum": list(kind.words)}
    if isinstance(kind, Mode):
        return {"type": ["string", "integer"], "pattern": _MODE, "minimum": 0, "maximum": 7777}
    if isinstance(kind, Duration):
        return {"type": ["string", "integer"], "pattern": _DURATION, "minimum": 0}
    return {"type": "boolean"}


def _list(kind: ListOf) -> dict[str, Any]:
    item = _kind(kind.item)
    if isinstance(kind.item, Table):
        item = {**item, "required": [key.name for key in kind.item.keys if key.required]}
    found: dict[str, Any] = {"type": "array", "items": item}
    if kind.least:
        found["minItems"] = kind.least
    if kind.identity in ("value", "package"):
        found["uniqueItems"] = True
    return {"anyOf": [{**item, "minLength": 1}, found]} if kind.single else found


def _text(kind: Text) -> dict[str, Any]:
    found: dict[str, Any] = {"type": ["string", "number", "boolean"] if kind.loose else "string"}
    if not kind.empty:
        found["minLength"] = 1
    if kind.grammar is not None:
        found["pattern"] = f"^(?:{kind.grammar.pattern})$"
        found["maxLength"] = kind.grammar.longest
    return found
