"""Java key stores (JKS version 2) of trusted certificates.

Defined by ``sun.security.provider.JavaKeyStore`` of the Java runtime. All times are the epoch, and
entries are sorted, so that equal certificates give equal bytes.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAGIC = 0xFEEDFEED
_VERSION = 2
_TRUSTED = 2
_SALT = b"Mighty Aphrodite"


def encode_key_store(certificates: Mapping[str, bytes], password: str) -> bytes:
    """Return a key store of ``certificates`` (DER bytes by alias), with integrity check by ``password``."""
    entries = [
        struct.pack(">I", _TRUSTED)
        + _encode_text(alias)
        + struct.pack(">q", 0)
        + _encode_text("X.509")
        + struct.pack(">I", len(certificates[alias]))
        + certificates[alias]
        for alias in sorted(certificates)
    ]
    body = struct.pack(">III", _MAGIC, _VERSION, len(entries)) + b"".join(entries)
    return body + _compute_digest(body, password)


def read_key_store(data: bytes, password: str) -> dict[str, bytes]:
    """Return the certificates of a key store by alias, in DER; raises FormatError if it is malformed."""
    if len(data) < 32 or struct.unpack_from(">II", data) != (_MAGIC, _VERSION):
        raise FormatError("the file is not a Java key store of version 2")
    body = data[:-20]
    if _compute_digest(body, password) != data[-20:]:
        raise FormatError("the Java key store is damaged, or the password is wrong")
    (count,) = struct.unpack_from(">I", body, 8)
    certificates: dict[str, bytes] = {}
    position = 12
    try:
        for _ in range(count):
            (tag,) = struct.unpack_from(">I", body, position)
            if tag != _TRUSTED:
                raise FormatError("the Java key store has a private key, which is not supported")
            alias, position = _read_text(body, position + 4)
            _, position = _read_text(body, position + 8)
            (size,) = struct.unpack_from(">I", body, position)
            if position + 4 + size > len(body):
                raise FormatError("the Java key store is truncated")
            certificates[alias] = body[position + 4 : position + 4 + size]
            position += 4 + size
    except struct.error:
        raise FormatError("the Java key store is truncated") from None
    return certificates


def _compute_digest(body: bytes, password: str) -> bytes:
    return hashlib.sha1(password.encode("utf-16-be") + _SALT + body, usedforsecurity=False).digest()


def _encode_text(text: str) -> bytes:
    """Return text in Java's modified UTF-8: NUL as two bytes, supplementary characters as surrogates."""
    encoded = text.encode("utf-16-be", "surrogatepass")
    units = (chr(int.from_bytes(encoded[start : start + 2], "big")) for start in range(0, len(encoded), 2))
    data = b"".join(b"\xc0\x80" if unit == "\0" else unit.encode("utf-8", "surrogatepass") for unit in units)
    if len(data) > 0xFFFF:
        raise FormatError(f"{text[:40]!r} is too long for a Java key store")
    return struct.pack(">H", len(data)) + data


def _read_text(body: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">H", body, position)
    data = body[position + 2 : position + 2 + length]
    if len(data) != length:
        raise FormatError("the Java key store is truncated")
    try:
        text = data.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
        return text.encode("utf-16", "surrogatepass").decode("utf-16"), position + 2 + length
    except UnicodeDecodeError:
        raise FormatError("the Java key store has a malformed alias") from None
