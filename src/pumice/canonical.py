"""Canonical JSON: equal values give equal bytes, so that their digests can be compared.

Keys sorted, no white space, UTF-8 unescaped, no floating point. (The shape of RFC 8785 for the
subset of JSON that Pumice writes; key order is by code point.)
"""

from __future__ import annotations

import msgspec

from pumice import digest

_encoder = msgspec.json.Encoder(order="deterministic")


def dumps(value: object) -> bytes:
    """Return the canonical JSON bytes of ``value`` (builtins or msgspec structs)."""
    plain = msgspec.to_builtins(value, order="deterministic")
    _refuse_floats(plain)
    return _encoder.encode(plain)


def digest_of(value: object) -> digest.Digest:
    """Return the digest of the canonical JSON of ``value``: how cache keys are made."""
    return digest.of(dumps(value))


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("floating point has no canonical form here")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
