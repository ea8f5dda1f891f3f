"""Layers out of segments, without unpacking or compressing anything twice.

A layer is one small generated member with ``./`` and every directory once, then the segments, then
the end mark. Its bytes exist only as the list of those parts; composing it again costs nothing.
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
from pumice.packing.layer_plan import WholeLayer
from pumice.packing.stream import END, ROOT, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.packing.segments import Segment
    from pumice.packing.stream import Item
    from pumice.packing.tree import Node
    from pumice.store.base import Blobs


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A row of gzip members that can be part of a layer, and what is in it.

    ``package`` is whose files they are, empty for those that no package ships.
    """

    blob: str
    tar_size: int
    members: tuple[int, ...]
    items: tuple[Item, ...]
    directories: tuple[Entry, ...] = ()
    package: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A file, link or directory that comes from no package; its content is bytes or a file.

    ``sha256`` (hex), where given, is what the content must still be when it is read.
    """

    entry: Entry
    content: bytes | Path = b""
    sha256: str = ""


class Filled(msgspec.Struct, frozen=True):
    """A finished layer, what it is called, and the pieces it was composed of."""

    title: str
    layer: WholeLayer
    pieces: tuple[Piece, ...]


def piece(segment: Segment) -> Piece:
    """Return a package's segment as a piece of a layer."""
    return Piece(
        blob=segment.blob,
        tar_size=segment.tar_size,
        members=segment.members,
        items=segment.items,
        directories=segment.directories,
        package=segment.facts.name,
    )


def made(items: Iterable[Made], blobs: Blobs) -> Piece:
    """Write generated entries as a piece: by path, hard links last; directories are only noted."""
    ordered = sorted(items, key=lambda item: (item.entry.kind == "hardlink", item.entry.path))
    with blobs.writer() as writer:
        stream = Stream(writer.write, alone=False)
        for item in ordered:
            if item.entry.kind != "dir":
                _add(stream, item)
        stream.close()
        blob = writer.commit()
    return Piece(
        blob=blob,
        tar_size=stream.tar_size,
        members=stream.members,
        items=tuple(stream.items),
        directories=tuple(item.entry for item in ordered if item.entry.kind == "dir"),
    )


def _add(stream: Stream, item: Made) -> None:
    if isinstance(item.content, bytes):
        entry = item.entry
        if entry.kind == "file":
            entry = msgspec.structs.replace(entry, size=len(item.content))
        stream.add(entry, io.BytesIO(item.content), {})
        return
    changed = ImageError(
        "the file changed while the image was built", where=str(item.content), hint="build again"
    )
    try:
        with item.content.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            stream.add(msgspec.structs.replace(item.entry, size=size), _Full(file, changed), {})
    except OSError as error:
        raise ImageError(f"cannot read it: {error.strerror}", where=str(item.content)) from None
    if item.sha256 and stream.items[-1].sha256 != item.sha256:
        raise changed


class _Full:
    """A file that must not end before it is read as far as was announced."""

    def __init__(self, file: BinaryIO, complaint: ImageError) -> None:
        self._file = file
        self._complaint = complaint

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        if not data:
            raise self._complaint
        return data


def directories(pieces: Sequence[Piece], nodes: Mapping[str, Node]) -> list[Entry]:
    """Return every directory that a layer of ``pieces`` must bring, parents first.

    Modes and owners are those of the whole image, so that no layer undoes another's; the time is
    the newest that a piece of this layer gives it, so that no other package can change the layer.
    """
    times: dict[str, int] = {}
    for part in pieces:
        for entry in part.directories:
            times[entry.path] = max(times.get(entry.path, 0), entry.mtime)
    above = {posixpath.dirname(item.entry.path) for part in pieces for item in part.items}
    above |= {posixpath.dirname(path) for path in times}
    while above := {path for path in above if path and path not in times}:
        times |= dict.fromkeys(above, 0)
        above = {posixpath.dirname(path) for path in above}
    return [_directory(path, times[path], nodes) for path in sorted(times)]


def _directory(path: str, mtime: int, nodes: Mapping[str, Node]) -> Entry:
    node = nodes.get(path)
    if node is None or node.entry.kind != "dir":
        return Entry(path, "dir", 0o755, mtime=mtime)
    return msgspec.structs.replace(node.entry, mtime=mtime)


def alone(segment: Segment, blobs: Blobs) -> WholeLayer:
    """Return the layer that a segment makes by itself; all is known already."""
    layer = segment.layer
    if layer is None:
        raise ValueError(f"the segment of {segment.facts.name} was not cut to be alone")
    _compose(layer.digest, (ROOT, END), segment.blob, blobs)
    return layer


def _compose(digest: Digest, ends: tuple[bytes, bytes], middle: Digest, blobs: Blobs) -> None:
    if blobs.size(digest) is None:
        blobs.compose([_put(ends[0], blobs), middle, _put(ends[1], blobs)], digest)


def _put(data: bytes, blobs: Blobs) -> Digest:
    with blobs.writer() as writer:
        writer.write(data)
        return writer.commit()


class Known(msgspec.Struct, frozen=True):
    """Where finished layers are remembered: by a key, as JSON; both may raise StoreError."""

    get: Callable[[Digest], WholeLayer | None]
    put: Callable[[Digest, WholeLayer], None]


def layer(pieces: Sequence[Piece], nodes: Mapping[str, Node], blobs: Blobs, known: Known) -> WholeLayer:
    """Compose ``pieces`` into a layer and return its digests, found by reading it once."""
    start = _start(directories(pieces, nodes))
    packed = b"".join(start)
    rows = [part.blob for part in pieces if part.members]
    key = cache_key("layer", hashlib.sha256(packed).hexdigest(), rows)
    found = known.get(key)
    if found and blobs.size(found.digest) is not None:
        return found
    reader = _Digests()
    for member in start:
        reader.member(member)
    for part in pieces:
        with blobs.open(part.blob) as file:
            reader.row(file, part.members)
    reader.member(END)
    result = reader.result()
    if blobs.size(result.digest) is None:
        blobs.compose([_put(packed, blobs), *rows, _put(END, blobs)], result.digest)
    known.put(key, result)
    return result


def _start(entries: Sequence[Entry]) -> list[bytearray]:
    members: list[bytearray] = []
    writer = gzip.MemberWriter(members.append)
    writer.write(tar.encode_header(Entry("", "dir", 0o755)))
    for entry in entries:
        names.check(entry)
        writer.write(tar.encode_header(entry))
    writer.close()
    return members


class _Digests:
    def __init__(self) -> None:
        self._packed, self._plain = hashlib.sha256(), hashlib.sha256()
        self._size = self._tar_size = 0

    def member(self, member: bytes | bytearray) -> None:
        content = gzip.decompress_member(member)
        self._packed.update(member)
        self._plain.update(content)
        self._size += len(member)
        self._tar_size += len(content)

    def row(self, file: BinaryIO, members: Sequence[int]) -> None:
        for length in members:
            self.member(file.read(length))

    def result(self) -> WholeLayer:
        packed, plain = self._packed.hexdigest(), self._plain.hexdigest()
        return WholeLayer("sha256:" + packed, self._size, "sha256:" + plain, self._tar_size)
