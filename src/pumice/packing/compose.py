"""Composes layers from segments, without unpacking or compressing anything again.

A layer is a generated gzip member with ``./`` and each directory once, followed by the segments and
the end of the archive. The store composes the blob from these parts.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.cache_keys import cache_key
from pumice.errors import ImageError
from pumice.formats import gzip, tar
from pumice.formats.tar import Entry
from pumice.packing import names
from pumice.packing.layer_plan import LayerDigests
from pumice.packing.segment_writer import LAYER_END, LAYER_START, LayerHasher, SegmentItem, SegmentWriter
from pumice.store.blobs import write_blob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.packing.segments import Segment
    from pumice.packing.tree import Node
    from pumice.store.blobs import Blobs


class LayerChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A sequence of gzip members that can be part of a layer, and the entries in it.

    ``members`` are the compressed sizes in bytes. ``package`` is empty for generated files.
    """

    blob: str
    tar_size: int
    members: tuple[int, ...]
    items: tuple[SegmentItem, ...]
    directories: tuple[Entry, ...] = ()
    package: str = ""


class LayerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file, link or directory that no package ships; its content is bytes or a file to read.

    If ``sha256`` (hex) is not empty, the content must have that digest when it is read.
    """

    entry: Entry
    content: bytes | Path = b""
    sha256: str = ""


class ComposedLayer(msgspec.Struct, frozen=True):
    """A layer in the store, its title, and the chunks that it consists of."""

    title: str
    layer: LayerDigests
    chunks: tuple[LayerChunk, ...]


def segment_chunk(segment: Segment) -> LayerChunk:
    """Return the segment of a package as a chunk of a layer."""
    return LayerChunk(
        blob=segment.blob,
        tar_size=segment.tar_size,
        members=segment.members,
        items=segment.items,
        directories=segment.directories,
        package=segment.facts.name,
    )


def write_chunk(entries: Iterable[LayerEntry], blobs: Blobs) -> LayerChunk:
    """Write entries into ``blobs`` as a chunk: sorted by path, hard links last, without directories.

    Raises ImageError if a file cannot be read or changed since its digest was computed.
    """
    sorted_entries = sorted(
        entries, key=lambda layer_entry: (layer_entry.entry.kind == "hardlink", layer_entry.entry.path)
    )
    with blobs.writer() as writer:
        stream = SegmentWriter(writer.write, has_own_layer=False)
        for layer_entry in sorted_entries:
            if layer_entry.entry.kind != "dir":
                _add_entry(stream, layer_entry)
        stream.close()
        blob = writer.commit()
    return LayerChunk(
        blob=blob,
        tar_size=stream.tar_size,
        members=stream.members,
        items=tuple(stream.items),
        directories=tuple(
            layer_entry.entry for layer_entry in sorted_entries if layer_entry.entry.kind == "dir"
        ),
    )


def _add_entry(stream: SegmentWriter, layer_entry: LayerEntry) -> None:
    if isinstance(layer_entry.content, bytes):
        entry = layer_entry.entry
        if entry.kind == "file":
            entry = msgspec.structs.replace(entry, size=len(layer_entry.content))
        stream.add(entry, io.BytesIO(layer_entry.content), {})
        return
    changed_error = ImageError(
        "the file changed while the image was built", where=str(layer_entry.content), hint="build again"
    )
    try:
        with layer_entry.content.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            stream.add(
                msgspec.structs.replace(layer_entry.entry, size=size), _ExactReader(file, changed_error), {}
            )
    except OSError as error:
        raise ImageError(f"cannot read the file: {error.strerror}", where=str(layer_entry.content)) from None
    if layer_entry.sha256 and stream.items[-1].sha256 != layer_entry.sha256:
        raise changed_error


class _ExactReader:
    """A file that raises an error if it ends before the announced size."""

    def __init__(self, file: BinaryIO, error: ImageError) -> None:
        self._file = file
        self._error = error

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        if not data:
            raise self._error
        return data


def layer_directories(chunks: Sequence[LayerChunk], nodes: Mapping[str, Node]) -> list[Entry]:
    """Return every directory of a layer of ``chunks``, parents first.

    Modes and owners are those of the whole image, so that no layer overrides another. The time is the
    newest in the chunks of this layer, so that packages in other layers do not change it.
    """
    times: dict[str, int] = {}
    for chunk in chunks:
        for entry in chunk.directories:
            times[entry.path] = max(times.get(entry.path, 0), entry.mtime)
    parents = {posixpath.dirname(segment_item.entry.path) for chunk in chunks for segment_item in chunk.items}
    parents |= {posixpath.dirname(path) for path in times}
    while parents := {path for path in parents if path and path not in times}:
        times |= dict.fromkeys(parents, 0)
        parents = {posixpath.dirname(path) for path in parents}
    return [_make_directory_entry(path, times[path], nodes) for path in sorted(times)]


def _make_directory_entry(path: str, mtime: int, nodes: Mapping[str, Node]) -> Entry:
    node = nodes.get(path)
    if node is None or node.entry.kind != "dir":
        return Entry(path, "dir", 0o755, mtime=mtime)
    return msgspec.structs.replace(node.entry, mtime=mtime)


def compose_own_layer(segment: Segment, blobs: Blobs) -> LayerDigests:
    """Compose the layer of one segment, which was cut with ``has_own_layer``; its digests are known."""
    layer = segment.layer
    if layer is None:
        raise ValueError(f"the segment of {segment.facts.name} was not cut for a layer of its own")
    _compose_blob(layer.digest, (LAYER_START, LAYER_END), segment.blob, blobs)
    return layer


def _compose_blob(
    digest: Digest, header_and_trailer: tuple[bytes, bytes], segment_blob: Digest, blobs: Blobs
) -> None:
    if blobs.size(digest) is None:
        blobs.compose(
            [
                write_blob(header_and_trailer[0], blobs),
                segment_blob,
                write_blob(header_and_trailer[1], blobs),
            ],
            digest,
        )


class LayerCache(msgspec.Struct, frozen=True):
    """A cache of layer digests by key; both functions may raise StoreError."""

    get: Callable[[Digest], LayerDigests | None]
    put: Callable[[Digest, LayerDigests], None]


def compose_layer(
    chunks: Sequence[LayerChunk], nodes: Mapping[str, Node], blobs: Blobs, cache: LayerCache
) -> LayerDigests:
    """Compose ``chunks`` into a layer; return its digests, from ``cache`` or by reading the layer once."""
    header_members = _encode_header_members(layer_directories(chunks, nodes))
    header = b"".join(header_members)
    chunk_blobs = [chunk.blob for chunk in chunks if chunk.members]
    key = cache_key("layer", hashlib.sha256(header).hexdigest(), chunk_blobs)
    cached_layer = cache.get(key)
    if cached_layer and blobs.size(cached_layer.digest) is not None:
        return cached_layer
    hasher = LayerHasher()
    for member in header_members:
        _hash_member(member, hasher)
    for chunk in chunks:
        with blobs.open(chunk.blob) as file:
            for length in chunk.members:
                _hash_member(file.read(length), hasher)
    _hash_member(LAYER_END, hasher)
    digests = hasher.digests()
    if blobs.size(digests.digest) is None:
        blobs.compose([write_blob(header, blobs), *chunk_blobs, write_blob(LAYER_END, blobs)], digests.digest)
    cache.put(key, digests)
    return digests


def _encode_header_members(entries: Sequence[Entry]) -> list[bytearray]:
    members: list[bytearray] = []
    writer = gzip.MemberWriter(members.append)
    writer.write(tar.encode_header(Entry("", "dir", 0o755)))
    for entry in entries:
        names.check_entry_name(entry)
        writer.write(tar.encode_header(entry))
    writer.close()
    return members


def _hash_member(member: bytes | bytearray, hasher: LayerHasher) -> None:
    hasher.add_member(member)
    hasher.add_content(gzip.decompress_member(member))
