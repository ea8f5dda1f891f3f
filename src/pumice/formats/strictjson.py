"""JSON from strangers, where two readers must not see two documents: keys once, bounded size and depth.

RFC 8259 leaves duplicate keys open; what is signed must mean one thing to whoever checks the
signature and to whoever uses the content.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from pumice.errors import FormatError

MAX_DEPTH = 100
MAX_SECONDS = 253402300799
"""The last second of the year 9999."""
_MAX_CONTAINERS = 2_000_000
_MAX_ITEMS = 16_000_000
"""Of a document: two bytes of JSON can take seventy of memory. 100,000 files have a tenth of that."""


def read_value(data: bytes, what: str, *, limit: int) -> Any:
    """Return the value of a JSON document of at most ``limit`` bytes; ``what`` names it in errors.

    Raises FormatError for malformed UTF-8 or JSON, duplicate keys, NaN, and nesting beyond 100.
    """
    if len(data) > limit:
        raise FormatError(f"the {what} is larger than {limit} bytes")
    containers = data.count(b"[") + data.count(b"{")
    if containers > _MAX_CONTAINERS or containers + data.count(b",") > _MAX_ITEMS:
        raise FormatError(f"the {what} has too many parts")
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_refuse_duplicate_keys, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)[:200]
        raise FormatError(f"the {what} is no JSON that can be trusted ({reason})") from None
    _check_content(value, what)
    return value


def read_object(data: bytes, what: str, *, limit: int) -> dict[str, Any]:
    """Return the value of a JSON document that must be an object; raises as `loads`."""
    value = read_value(data, what, limit=limit)
    if not isinstance(value, dict):
        raise FormatError(f"the {what} is not a JSON object")
    return value


def get_text(document: dict[str, Any], key: str, what: str, default: str | None = None) -> str:
    """Return the string under ``key``; raises FormatError when it is none, or missing without a default."""
    value = document.get(key, default)
    if not isinstance(value, str):
        raise FormatError(f"the {what} has no text {key!r}")
    return value


def get_object(document: dict[str, Any], key: str, what: str) -> dict[str, Any]:
    """Return the object under ``key``; raises FormatError when there is none."""
    value = document.get(key)
    if not isinstance(value, dict):
        raise FormatError(f"the {what} has no object {key!r}")
    return value


def get_seconds(document: object, key: str) -> int:
    """Return the time under ``key`` in seconds since the epoch; 0 when there is none that makes sense."""
    value = document.get(key) if isinstance(document, dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 < value <= MAX_SECONDS else 0


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands there twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FormatError(f"the {what} has half of a surrogate pair in it") from None


def _check_content(value: object, what: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
                below.extend(key for key in item if not key.isascii())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str) and not item.isascii():
                _check_text(item, what)
        if not below:
            return
        level = below
    raise FormatError(f"the {what} is nested deeper than {MAX_DEPTH}")
