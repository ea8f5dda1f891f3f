"""Canonical JSON: equal values give equal bytes, so that their digests can be compared.

Keys are sorted by code point; there is no white space, UTF-8 is not escaped, and floating point is
rejected. This is RFC 8785 for the subset of JSON that Pumice writes.
"""

from __future__ import annotations

import msgspec

from pumice import digest

_encoder = msgspec.json.Encoder(order="deterministic")


def dumps(value: object) -> bytes:
    """Return the canonical JSON bytes of ``value`` (builtins or msgspec structs)."""
    json_value = msgspec.to_builtins(value, order="deterministic")
    _reject_floats(json_value)
    return _encoder.encode(json_value)


def digest_of(value: object) -> digest.Digest:
    """Return the digest of the canonical JSON of ``value``."""
    return digest.of(dumps(value))


def _reject_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError("floating-point numbers have no canonical form")
    if isinstance(value, dict):
        for element in value.values():
            _reject_floats(element)
    elif isinstance(value, list | tuple):
        for element in value:
            _reject_floats(element)
