"""What evidence needs of a layer, found by reading it once and then remembered by its diff ID."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.errors import FormatError, StoreError
from pumice.formats import apkstate
from pumice.formats.tar import Entry
from pumice.image import layer_scan
from pumice.image.layer_links import LayerLinks

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.formats.tar import Body
    from pumice.image.layer import Layer
    from pumice.store.records import Records

_KIND = "evidence-layer"
_CHUNK = 1 << 20
_MAX_TEXT = 64 << 20
_MAX_TEXTS = 256 << 20
_MAX_COPYRIGHT = 4 << 20


class Read(msgspec.Struct, frozen=True):
    """A layer's entries in order, ``sums`` of each (SHA-256 and SHA-1, empty for all but files), and texts.

    ``texts`` are of the files that say what is in the image, copyright files included.
    """

    entries: tuple[Entry, ...]
    sums: tuple[tuple[str, str], ...]
    texts: dict[str, bytes]


_decoder = msgspec.msgpack.Decoder(Read)


def read(layer: Layer, records: Records | None = None) -> Read:
    """Return what a layer has; raises TrustError and FormatError as reading it does."""
    key = cache_key("layer-facts", layer.diff_id)
    known = _recall(key, records)
    if known is None:
        known = _read(layer)
        if records is not None:
            try:
                records.put(_KIND, key, msgspec.msgpack.encode(known))
            except (UnicodeEncodeError, StoreError):
                pass  # see layer_facts: it only means reading the layer again
    return known


def _recall(key: Digest, records: Records | None) -> Read | None:
    data = None if records is None else records.get(_KIND, key)
    try:
        return _decoder.decode(data) if data is not None else None
    except (msgspec.MsgspecError, ValueError):
        return None


def _read(layer: Layer) -> Read:
    entries: list[Entry] = []
    sums: list[tuple[str, str]] = []
    texts: dict[str, bytes] = {}
    held = 0
    links = LayerLinks()
    for entry, body in layer.entries():
        entries.append(entry)
        path = links.place(entry)
        if entry.kind != "file":
            sums.append(("", ""))
            continue
        keep = _is_telling(path, entry.size)
        held += entry.size if keep else 0
        if keep and (entry.size > _MAX_TEXT or held > _MAX_TEXTS):
            raise FormatError(
                "the package database of the image is larger than any real one", where=entry.path
            )
        pieces: list[bytes] = []
        sums.append(_sums(body, pieces if keep else None))
        if keep:
            texts[entry.path] = b"".join(pieces)
    return Read(tuple(entries), tuple(sums), texts)


def _sums(body: Body, keep: list[bytes] | None) -> tuple[str, str]:
    sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
    while piece := body.read(_CHUNK):
        sha256.update(piece)
        sha1.update(piece)
        if keep is not None:
            keep.append(piece)
    return sha256.hexdigest(), sha1.hexdigest()


def _is_telling(path: str, size: int) -> bool:
    if path.startswith("usr/share/doc/") and path.endswith("/copyright"):
        return size <= _MAX_COPYRIGHT
    return path in apkstate.DATABASE_PATHS or layer_scan.is_telling(path)
