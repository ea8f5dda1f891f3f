"""Values that were found out before, typed: what each step of a build keeps under its inputs' digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pumice.digest import Digest
    from pumice.store.home import Home

_Value = TypeVar("_Value")


def recall(
    home: Home,
    kind: str,
    key: Digest,
    shape: type[_Value],
    needs: Callable[[_Value], Iterable[Digest]] = lambda _: (),
) -> _Value | None:
    """Return what is remembered under ``key``, if it is sound and the blobs that it ``needs`` are there."""
    data = home.records.get(kind, key)
    if data is None:
        return None
    try:
        value = msgspec.msgpack.decode(data, type=shape)
    except msgspec.MsgspecError:  # written by another version of Pumice: as good as nothing
        return None
    return value if all(home.blobs.size(digest) is not None for digest in needs(value)) else None


def remember(home: Home, kind: str, key: Digest, value: object, keeps: Sequence[Digest] = ()) -> None:
    """Keep ``value`` under ``key``, and with it the blobs in ``keeps``."""
    home.records.put(kind, key, msgspec.msgpack.encode(value), keeps=keeps)
