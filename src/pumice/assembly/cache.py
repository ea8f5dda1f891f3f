"""Typed caches of what the steps of a build compute, by the digest of everything they compute it from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from pumice.cache_keys import cache_key
from pumice.decoding import decode_msgpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pumice.cache_keys import Kind
    from pumice.digest import Digest
    from pumice.store.home import Home

_Value = TypeVar("_Value")


class Cache(Generic[_Value]):
    """Values of one kind in the records of a store."""

    def __init__(
        self,
        kind: Kind,
        value_type: type[_Value],
        blobs: Callable[[_Value], Iterable[Digest]] = lambda _: (),
    ) -> None:
        """``blobs`` returns the blobs that a value refers to: without them it is not found."""
        self._kind = kind
        self._value_type = value_type
        self._blobs = blobs

    def key(self, *inputs: object) -> Digest:
        """Return the key of the value that is computed from ``inputs`` (JSON values and structs)."""
        return cache_key(self._kind, *inputs)

    def get(self, home: Home, key: Digest) -> _Value | None:
        """Return the value under ``key``; None if it is missing, malformed, or lacks one of its blobs."""
        data = home.records.get(self._kind, key)
        if data is None:
            return None
        try:
            value = decode_msgpack(data, self._value_type)
        except msgspec.MsgspecError:  # written by another version of Pumice, which is a miss
            return None
        return value if all(home.blobs.size(digest) is not None for digest in self._blobs(value)) else None

    def get_or_compute(
        self, home: Home, key: Digest, compute: Callable[[], _Value], *, keep: Iterable[Digest] = ()
    ) -> _Value:
        """Return the value under ``key``; if `get` has none, compute it and `put` it there."""
        value = self.get(home, key)
        if value is None:
            value = compute()
            self.put(home, key, value, keep=keep)
        return value

    def put(self, home: Home, key: Digest, value: _Value, *, keep: Iterable[Digest] = ()) -> None:
        """Store ``value`` under ``key``; its blobs and those in ``keep`` live as long as it does.

        Raises StoreError.
        """
        data = msgspec.msgpack.encode(value)
        home.records.put(self._kind, key, data, kept_blobs=[*keep, *self._blobs(value)])
