"""Small files with a checksum: the first line is the digest of the rest."""

from __future__ import annotations

import hashlib

_HEAD = 65


def seal(data: bytes) -> bytes:
    """Return ``data`` after a line with its SHA-256 digest in hexadecimal."""
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def unseal(sealed: bytes) -> bytes | None:
    """Return the data of a sealed file, None if the file is truncated or altered."""
    data = sealed[_HEAD:]
    if sealed[:_HEAD] != hashlib.sha256(data).hexdigest().encode() + b"\n":
        return None
    return data
