"""Decode JSON and MessagePack into typed values, from any thread.

msgspec (0.22) prepares a type at its first use without a lock: two threads that do so for the same type at
the same time can crash the process. Here one thread prepares at a time.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

_Value = TypeVar("_Value")

_preparation = threading.RLock()


def decode_json(data: bytes | str, kind: type[_Value]) -> _Value:
    """Return the value of ``data``; raises msgspec.MsgspecError."""
    hashable_kind: Any = kind
    value: _Value = _json_decoder(hashable_kind).decode(data)
    return value


def decode_msgpack(data: bytes, kind: type[_Value]) -> _Value:
    """Return the value of ``data``; raises msgspec.MsgspecError."""
    hashable_kind: Any = kind
    value: _Value = _msgpack_decoder(hashable_kind).decode(data)
    return value


@lru_cache(maxsize=128)
def _json_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    with _preparation:
        return msgspec.json.Decoder(kind)


@lru_cache(maxsize=128)
def _msgpack_decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    with _preparation:
        return msgspec.msgpack.Decoder(kind)
