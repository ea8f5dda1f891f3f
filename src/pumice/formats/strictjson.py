"""Strict decoding of hostile JSON: no duplicate keys, bounded size and depth.

RFC 8259 does not define the meaning of duplicate keys, but a signed document must mean the same to the
verifier of the signature and to the user of the content.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

from pumice.errors import FormatError

MAX_DEPTH = 100
MAX_SECONDS = 253402300799
"""The last second of the year 9999, in seconds since the epoch."""
_MAX_CONTAINERS = 2_000_000
_MAX_ITEMS = 16_000_000
"""Two bytes of JSON can take seventy of memory. A document on 100,000 files has a tenth of the items."""


def read_value(data: bytes, description: str, *, limit: int) -> Any:
    """Return the value of a JSON document of at most ``limit`` bytes; ``description`` is its name in errors.

    Raises FormatError for malformed UTF-8 or JSON, duplicate keys, NaN, and nesting beyond 100.
    """
    if len(data) > limit:
        raise FormatError(f"the {description} is larger than {limit} bytes")
    containers = data.count(b"[") + data.count(b"{")
    if containers > _MAX_CONTAINERS or containers + data.count(b",") > _MAX_ITEMS:
        raise FormatError(f"the {description} has too many values")
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_refuse_duplicate_keys, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the {description} is not valid strict JSON ({_explain(error)})") from None
    _check_content(value, description)
    return value


def _explain(error: ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]


def read_object(data: bytes, description: str, *, limit: int) -> dict[str, Any]:
    """Return the value of a JSON document that must be an object; raises as `read_value`."""
    value = read_value(data, description, limit=limit)
    if not isinstance(value, dict):
        raise FormatError(f"the {description} is not a JSON object")
    return value


def get_text(document: dict[str, Any], key: str, description: str, default: str | None = None) -> str:
    """Return the string at ``key``, or ``default``; raises FormatError if it is missing or not a string."""
    value = document.get(key, default)
    if not isinstance(value, str):
        raise FormatError(f"the {description} has no string {key!r}")
    return value


def get_object(document: dict[str, Any], key: str, description: str) -> dict[str, Any]:
    """Return the object at ``key``; raises FormatError if it is missing or not an object."""
    value = document.get(key)
    if not isinstance(value, dict):
        raise FormatError(f"the {description} has no object {key!r}")
    return value


def get_seconds(document: object, key: str) -> int:
    """Return the time at ``key`` in seconds since the epoch, 0 if it is missing or invalid."""
    value = document.get(key) if isinstance(document, dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 < value <= MAX_SECONDS else 0


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"duplicate key {counts.most_common(1)[0][0][:60]!r}")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


def _check_text(text: str, description: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FormatError(f"the {description} contains an unpaired surrogate") from None


def _check_content(value: object, description: str) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        next_level: list[object] = []
        for element in level:
            if isinstance(element, dict):
                next_level.extend(element.values())
                next_level.extend(key for key in element if not key.isascii())
            elif isinstance(element, list):
                next_level.extend(element)
            elif isinstance(element, str) and not element.isascii():
                _check_text(element, description)
        if not next_level:
            return
        level = next_level
    raise FormatError(f"the {description} is nested deeper than {MAX_DEPTH}")
