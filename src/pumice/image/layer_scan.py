"""What there is to know of one layer, found out by reading it once and then remembered.

A layer's diff ID stands for its content, so what was found out is right for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.errors import FormatError, StoreError
from pumice.formats.tar import Entry
from pumice.image.layer_links import LayerLinks

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.formats.tar import Body
    from pumice.image.layer import Layer
    from pumice.image.stat_cache import Records

_KIND = "layer-facts"
_MAX_TEXT = 32 << 20
_MAX_TEXTS = 128 << 20

STATUS = "var/lib/dpkg/status"
STATUS_FOLDER = "var/lib/dpkg/status.d/"
INFO_FOLDER = "var/lib/dpkg/info/"
USERS = ("etc/passwd", "etc/group")
RELEASES = ("etc/os-release", "usr/lib/os-release")


class LayerFacts(msgspec.Struct, frozen=True):
    """The entries of a layer in their order, and the contents of the files that say what is in it.

    ``unpacked`` is the sum of the files' sizes in bytes.
    """

    entries: tuple[Entry, ...]
    texts: dict[str, bytes]
    unpacked: int


_decoder = msgspec.msgpack.Decoder(LayerFacts)


def of(layer: Layer, records: Records | None = None) -> LayerFacts:
    """Return the facts of a layer, from ``records`` if they are there.

    Raises TrustError and FormatError as reading the layer does.
    """
    key = cache_key("layer-facts", layer.diff_id)
    known = _recall(key, records)
    if known is None:
        known = _read(layer)
        _remember(key, known, records)
    return known


def _recall(key: Digest, records: Records | None) -> LayerFacts | None:
    data = None if records is None else records.get(_KIND, key)
    if data is None:
        return None
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError):
        return None


def _remember(key: Digest, facts: LayerFacts, records: Records | None) -> None:
    if records is None:
        return
    try:
        records.put(_KIND, key, msgspec.msgpack.encode(facts))
    except (UnicodeEncodeError, StoreError):
        # A name that is not UTF-8 has no place in MessagePack, a full disk none for anything: both
        # only mean reading the layer again.
        return


def _read(layer: Layer) -> LayerFacts:
    entries: list[Entry] = []
    texts: dict[str, bytes] = {}
    links = LayerLinks()
    for entry, body in layer.entries():
        entries.append(entry)
        if is_telling(links.place(entry)) and entry.kind == "file":
            texts[entry.path] = _text(entry, body, sum(len(text) for text in texts.values()))
    return LayerFacts(tuple(entries), texts, sum(entry.size for entry in entries))


def is_telling(path: str) -> bool:
    """Whether a file's content says what is in the image."""
    if path.startswith(INFO_FOLDER):
        return path.endswith(".list")
    return path == STATUS or path.startswith(STATUS_FOLDER) or path in USERS or path in RELEASES


def _text(entry: Entry, body: Body, held: int) -> bytes:
    if entry.size > _MAX_TEXT or held + entry.size > _MAX_TEXTS:
        raise FormatError("the package database of the image is larger than any real one", where=entry.path)
    return body.read()
