"""Bencoding, the encoding of torrents and trackers (BEP 3).

Only the canonical form is accepted: the digest of a torrent is that of its encoded ``info``, so two
encodings of one value would be two torrents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value = int | bytes | list["Value"] | dict[bytes, "Value"]

_MAX_DEPTH = 32
_MAX_DIGITS = 20
_DIGITS = frozenset(b"0123456789")


def encode(value: object) -> bytes:
    """Return the encoding of integers, bytes, text (as UTF-8), lists, and mappings from text or bytes."""
    return b"".join(_encode(value))


def _encode(value: object) -> Iterator[bytes]:
    match value:
        case bool():
            raise TypeError("bencoding has no booleans")
        case int():
            yield b"i%de" % value
        case bytes():
            yield b"%d:" % len(value)
            yield value
        case str():
            yield from _encode(value.encode())
        case list() | tuple():
            yield b"l"
            for element in value:
                yield from _encode(element)
            yield b"e"
        case dict():
            yield b"d"
            for key, element in sorted(_with_byte_keys(value).items()):
                yield from _encode(key)
                yield from _encode(element)
            yield b"e"
        case _:
            raise TypeError(f"{type(value).__name__} has no bencoding")


def _with_byte_keys(value: Mapping[str | bytes, object]) -> dict[bytes, object]:
    return {key.encode() if isinstance(key, str) else key: element for key, element in value.items()}


def decode(data: bytes) -> Value:
    """Return the value that ``data`` is the encoding of; raises FormatError."""
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise FormatError("bencoded data is followed by other data")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    kind = data[at : at + 1]
    if depth > _MAX_DEPTH:
        raise FormatError("bencoded data is nested too deeply")
    if kind == b"i":
        return _decode_integer(data, at + 1, b"e")
    if kind.isdigit():
        length, start = _decode_integer(data, at, b":")
        if length > len(data) - start:
            raise FormatError("bencoded data is truncated")
        return data[start : start + length], start + length
    if kind == b"l":
        elements: list[Value] = []
        at += 1
        while data[at : at + 1] != b"e":
            element, at = _decode(data, at, depth + 1)
            elements.append(element)
        return elements, at + 1
    if kind == b"d":
        return _decode_dictionary(data, at + 1, depth)
    raise FormatError("bencoded data is truncated" if not kind else "bencoded data is malformed")


def _decode_dictionary(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    members: dict[bytes, Value] = {}
    last: bytes | None = None
    while data[at : at + 1] != b"e":
        key, at = _decode(data, at, depth + 1)
        if not isinstance(key, bytes) or (last is not None and key <= last):
            raise FormatError("a bencoded dictionary has keys that are not sorted")
        members[key], at = _decode(data, at, depth + 1)
        last = key
    return members, at + 1


def _decode_integer(data: bytes, at: int, end: bytes) -> tuple[int, int]:
    stop = data.find(end, at, at + _MAX_DIGITS + 2)
    digits = data[at:stop] if stop >= 0 else b""
    magnitude = digits.removeprefix(b"-") if end == b"e" else digits
    is_canonical = magnitude[:1] != b"0" or digits == b"0"
    if not magnitude or not _DIGITS.issuperset(magnitude) or not is_canonical:
        raise FormatError("bencoded data has a malformed number")
    return int(digits), stop + 1
