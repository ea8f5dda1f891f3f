"""OCI digests: ``sha256:`` and 64 lowercase hexadecimal digits.

Image-spec 1.1, descriptor.md, "Digests". A digest is a plain string throughout; only this module
parses one.
"""

from __future__ import annotations

import hashlib

from pumice.errors import FormatError

Digest = str

_HEX = frozenset("0123456789abcdef")


def of(data: bytes | bytearray | memoryview) -> Digest:
    """Return the SHA-256 digest of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def from_hex(hex_digits: str) -> Digest:
    """Return the digest for 64 hexadecimal digits; raises FormatError for anything else."""
    return check("sha256:" + hex_digits)


def hex_of(digest: Digest) -> str:
    """Return the hexadecimal digits of a SHA-256 digest."""
    return check(digest)[7:]


def check(text: str) -> Digest:
    """Return ``text`` if it is a SHA-256 digest; raises FormatError otherwise.

    Every digest that becomes part of a file name is checked here, so it can never contain a path.
    """
    if len(text) == 71 and text.startswith("sha256:") and _HEX.issuperset(text[7:]):
        return text
    raise FormatError(f"{text[:100]!r} is not a sha256 digest", hint="expected sha256: and 64 hex digits")
