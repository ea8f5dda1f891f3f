"""The jsonwall format 1.0 of Chisel: JSON objects, one a line, sorted by their bytes, after a header."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VERSION = "1.0"

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What Go's encoder escapes in strings besides control characters."""


def encode_wall(schema: str, records: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the bytes of a database; records keep the order of their fields, without empty ones."""
    lines = sorted(_encode(record) for record in records)
    header = {"jsonwall": VERSION, "schema": schema, "count": len(lines) + 1}
    return b"".join(line + b"\n" for line in [_encode(header), *lines])


def _encode(record: Mapping[str, Any]) -> bytes:
    values = {key: value for key, value in record.items() if value not in ("", 0, (), [])}
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text.encode("utf-8", "replace")


def decode_wall(data: bytes, schema: str) -> list[dict[str, Any]]:
    """Return the records of a database; raises FormatError if it is malformed or of another schema."""
    lines = data.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    try:
        values = [json.loads(line) for line in lines]
    except (ValueError, RecursionError):
        raise FormatError("the manifest is not JSON lines") from None
    header = values[0] if values and isinstance(values[0], dict) else {}
    if not str(header.get("jsonwall", "")).startswith("1.") or header.get("schema") != schema:
        raise FormatError(f"the manifest does not have the schema {schema}")
    if header.get("count") != len(values) or not all(isinstance(value, dict) for value in values):
        raise FormatError("the manifest is incomplete")
    return values[1:]
