"""Layers of App Container images without the files that a path whitelist removes (spec/aci.md).

Directories above a path that stays keep their mode and owner, and a hard link stays although its target does
not. The digests of a filtered layer are a record under those of what goes in, so it is not written again
until something opens it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.cache_keys import cache_key
from pumice.decoding import decode_msgpack
from pumice.errors import FormatError, ImageError, StoreError
from pumice.formats.oci import Descriptor
from pumice.image import aci_reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.appc.dependencies import Visit
    from pumice.digest import Digest
    from pumice.formats.tar import Body, Entry
    from pumice.image.aci_reader import ConvertedLayer
    from pumice.image.stat_cache import Records


class _Record(msgspec.Struct, frozen=True):
    layer: Descriptor
    diff_id: str


def filter_layer(layer: ConvertedLayer, visit: Visit, records: Records | None = None) -> ConvertedLayer:
    """Return the part of a layer that every whitelist lets through.

    With ``records``, a part that was written before is written again only when it is opened. Raises
    FormatError, ImageError.
    """
    if not visit.whitelists:
        return layer
    key = _make_key(layer, visit)
    if records and (record := _load(key, records)) is not None:
        return _UnwrittenLayer(record.layer, record.diff_id, layer, visit)
    filtered = _write(layer, visit)
    if records:
        _save(key, _Record(filtered.descriptor, filtered.diff_id), records)
    return filtered


def _make_key(layer: ConvertedLayer, visit: Visit) -> Digest:
    whitelists = [sorted(whitelist.paths) for whitelist in visit.whitelists]
    return cache_key("aci", layer.diff_id, whitelists)


def _load(key: Digest, records: Records) -> _Record | None:
    data = records.get("aci", key)
    try:
        return None if data is None else decode_msgpack(data, _Record)
    except (msgspec.MsgspecError, FormatError):  # damaged
        return None


def _save(key: Digest, record: _Record, records: Records) -> None:
    """Keep the digests of a layer; a failure only costs another filtering."""
    try:
        records.put("aci", key, msgspec.msgpack.encode(record))
    except StoreError:  # a store that is read-only
        return


class _UnwrittenLayer:
    """A filtered layer whose digests are known; it is written when it is opened."""

    def __init__(self, descriptor: Descriptor, diff_id: Digest, layer: ConvertedLayer, visit: Visit) -> None:
        self.descriptor = descriptor
        self.diff_id = diff_id
        self._layer = layer
        self._visit = visit
        self._written: ConvertedLayer | None = None

    def open(self) -> BinaryIO:
        """Open the compressed layer; raises ImageError if the unfiltered one has changed."""
        return self._write_again().open()

    def entries(self) -> Iterator[tuple[Entry, Body]]:
        """Yield the entries; raises as `open`."""
        return self._write_again().entries()

    def _write_again(self) -> ConvertedLayer:
        if self._written is None:
            self._written = _write(self._layer, self._visit)
            if self._written.descriptor != self.descriptor:
                raise ImageError(
                    "a dependency changed while it was used", where=self._visit.image.where[:200]
                )
        return self._written


def _write(layer: ConvertedLayer, visit: Visit) -> ConvertedLayer:
    return aci_reader.write_layer(_filter_entries(layer, _plan_names(layer, visit), visit))


def _plan_names(layer: ConvertedLayer, visit: Visit) -> dict[str, str]:
    """Return, for each file, the first of its names that stays."""
    names: dict[str, str] = {}
    targets: dict[str, str] = {}
    for entry, _ in layer.entries():
        if entry.kind == "dir":
            continue
        target = targets.get(entry.link, entry.link) if entry.kind == "hardlink" else entry.path
        if entry.kind == "hardlink":
            targets[entry.path] = target
        if target not in names and visit.allows(entry.path, is_directory=False):
            names[target] = entry.path
    return names


def _filter_entries(
    layer: ConvertedLayer, names: dict[str, str], visit: Visit
) -> Iterator[tuple[Entry, Body]]:
    targets: dict[str, str] = {}
    for entry, body in layer.entries():
        if entry.kind == "dir":
            if visit.allows(entry.path, is_directory=True):
                yield entry, body
        elif entry.kind == "hardlink":
            target = targets[entry.path] = targets.get(entry.link, entry.link)
            name = names.get(target, "")
            if entry.path != name and visit.allows(entry.path, is_directory=False):
                yield msgspec.structs.replace(entry, link=name), body
        elif entry.path in names:
            yield msgspec.structs.replace(entry, path=names[entry.path]), body
