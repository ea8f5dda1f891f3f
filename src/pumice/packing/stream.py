"""The stream of a segment on its way out: entries in, gzip members and an index out."""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.formats import elf, gzip, tar
from pumice.formats.elf import SharedObject
from pumice.formats.tar import Entry
from pumice.packing import names
from pumice.packing.layer_plan import WholeLayer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = bytes(gzip.compress_member(tar.encode_header(Entry("", "dir", 0o755))))
"""The first member of every layer that holds one package: the root itself."""
END = bytes(gzip.compress_member(tar.END_OF_ARCHIVE))
"""The last member of every layer: the end of the archive."""

_WHOLE_ELF = 4 << 20


class Item(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One entry of a segment.

    ``offset`` is where its body starts in the plain tar stream, ``sha256`` its content's hex digest;
    ``sha1`` is what SPDX 2.3 wants of each file as well (section 8.4), and is for nothing else.
    """

    entry: Entry
    offset: int = 0
    sha256: str = ""
    elf: SharedObject | None = None
    sha1: str = ""


class Stream:
    """Writes entries one after the other and notes where they are.

    Alone in its layer (``alone``), a stream brings every directory on the way to a file itself and
    finds the digests of the layer while it is written.
    """

    def __init__(self, sink: Callable[[bytearray], object], *, alone: bool) -> None:
        self._sink = sink
        self._layer = _LayerDigests() if alone else None
        self._out = gzip.MemberWriter(self._emit)
        self._written: set[str] = {""}
        self._large: list[int] = []
        self.items: list[Item] = []
        self.implied: set[str] = set()
        """Directories that had to be written before anything was known of them."""

    def _emit(self, member: bytearray) -> None:
        self._sink(member)
        if self._layer:
            self._layer.member(member)

    def _write(self, data: bytes | memoryview) -> None:
        self._out.write(data)
        if self._layer:
            self._layer.content(data)

    def directory(self, entry: Entry, known: Mapping[str, Entry]) -> None:
        """Write a directory if this stream brings its own; ``known`` has the attributes of others.

        Raises ImageError for a name that a layer cannot hold.
        """
        names.check(entry)
        if self._layer and entry.path not in self._written:
            self._parents(entry.path, known)
            self._written.add(entry.path)
            self._write(tar.encode_header(entry))

    def _parents(self, path: str, known: Mapping[str, Entry]) -> None:
        parent = posixpath.dirname(path)
        if not self._layer or parent in self._written:
            return
        if parent not in known:
            self.implied.add(parent)
        self.directory(known.get(parent) or Entry(parent, "dir", 0o755), known)

    def add(self, entry: Entry, body: tar.Source, known: Mapping[str, Entry], *, md5: bool = False) -> str:
        """Write anything but a directory; return the MD5 of its content if asked to.

        Raises ImageError for a name that a layer cannot hold.
        """
        names.check(entry)
        self._parents(entry.path, known)
        self._write(tar.encode_header(entry))
        offset = self._out.content_size
        if entry.kind != "file":
            self.items.append(Item(entry))
            return ""
        library = may_be_library(entry)
        whole: list[bytes | memoryview] = []
        sha256, sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        other = hashlib.md5(usedforsecurity=False) if md5 else None
        left = entry.size
        some: Callable[[int], bytes | memoryview] = getattr(body, "read_some", body.read)
        while left and (piece := some(min(left, self._out.room))):
            left -= len(piece)
            self._write(piece)
            sha256.update(piece)
            sha1.update(piece)
            if other:
                other.update(piece)
            if library and entry.size <= _WHOLE_ELF:
                whole.append(piece)
        self._write(bytes(tar.padding_size(entry.size)))
        if library and not whole:
            self._large.append(len(self.items))
        facts = _identify(b"".join(whole))
        self.items.append(Item(entry, offset, sha256.hexdigest(), facts, sha1.hexdigest()))
        return other.hexdigest() if other else ""

    def close(self) -> WholeLayer | None:
        """Write what is held; return the layer that the stream makes if it is alone in it."""
        self._out.close()
        return self._layer.close() if self._layer else None

    @property
    def tar_size(self) -> int:
        """Bytes of plain tar so far."""
        return self._out.content_size

    @property
    def members(self) -> tuple[int, ...]:
        """Compressed size of each gzip member."""
        return tuple(self._out.member_sizes)

    def identify_large(self, read: Callable[[int, int], bytes]) -> None:
        """Look into the libraries that were too large to hold; ``read`` is of the plain stream."""
        for number in self._large:
            item = self.items[number]
            size = item.entry.size

            def within(offset: int, length: int, start: int = item.offset, end: int = size) -> bytes:
                return read(start + offset, max(0, min(length, end - offset)))

            facts = elf.read_shared_object(within, size)
            self.items[number] = msgspec.structs.replace(item, elf=facts)


class _LayerDigests:
    """The digests of the layer that a lone stream makes, found while it is written."""

    def __init__(self) -> None:
        self._packed = hashlib.sha256(ROOT)
        self._plain = hashlib.sha256(gzip.decompress_member(ROOT))
        self._size = len(ROOT) + len(END)
        self._tar_size = tar.BLOCK + len(tar.END_OF_ARCHIVE)

    def member(self, data: bytearray) -> None:
        self._packed.update(data)
        self._size += len(data)

    def content(self, data: bytes | memoryview) -> None:
        self._plain.update(data)
        self._tar_size += len(data)

    def close(self) -> WholeLayer:
        self._packed.update(END)
        self._plain.update(tar.END_OF_ARCHIVE)
        packed, plain = self._packed.hexdigest(), self._plain.hexdigest()
        return WholeLayer("sha256:" + packed, self._size, "sha256:" + plain, self._tar_size)


def may_be_library(entry: Entry) -> bool:
    """Whether a file's name is one that the loader's cache may have."""
    name = posixpath.basename(entry.path)
    return entry.size > 0 and ".so" in name and name.startswith(("lib", "ld-"))


def _identify(data: bytes) -> SharedObject | None:
    if not data:
        return None
    return elf.read_shared_object(lambda offset, length: data[offset : offset + length], len(data))
