"""PAX records, which extend a tar header (POSIX.1-2008, pax, "pax Extended Header").

A record is ``LENGTH KEY=VALUE`` and a newline; the length in decimal counts the whole record in bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

XATTR = "SCHILY.xattr."
"""The prefix of keys whose values are extended attributes."""
MAX_NUMBER = 1 << 50
"""Maximum absolute value of a size, an owner or a time."""


def encode_records(records: Mapping[str, bytes]) -> bytes:
    """Return ``records`` sorted by key, so that equal records have equal bytes."""
    return b"".join(_encode_record(key, records[key]) for key in sorted(records))


def _encode_record(key: str, value: bytes) -> bytes:
    body = b" " + key.encode() + b"=" + value + b"\n"
    total = len(body) + len(str(len(body)))
    total = len(body) + len(str(total))
    return str(total).encode() + body


def read_records(data: bytes) -> dict[str, bytes]:
    """Return the records in ``data``; raises FormatError for malformed records and sparse files."""
    records: dict[str, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            raise FormatError("a PAX record has no length")
        end = position + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or end > len(data) or data[end - 1 : end] != b"\n":
            raise FormatError("a PAX record is malformed")
        if key.startswith(b"GNU.sparse."):
            raise FormatError("the archive has a sparse file, which is not supported")
        records[key.decode("utf-8", "surrogateescape")] = value
        position = end
    return records


def read_number(records: Mapping[str, bytes], key: str, default: int) -> int:
    """Return the whole part of a number, ``default`` if it is missing; raises FormatError."""
    value = records.get(key)
    if value is None:
        return default
    whole_part = value.split(b".", 1)[0]  # times may have a fraction
    if not whole_part.removeprefix(b"-").isdigit() or len(whole_part) > 20:
        raise FormatError(f"the PAX record {key!r} is not a valid number")
    number = int(whole_part)
    if abs(number) > MAX_NUMBER:
        raise FormatError(f"the PAX record {key!r} is not a valid number")
    return number


def read_xattrs(records: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the extended attributes by full name, such as ``security.capability``."""
    return {key.removeprefix(XATTR): records[key] for key in records if key.startswith(XATTR)}
