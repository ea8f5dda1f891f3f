"""Writes the entries of a segment as gzip members and records where they are."""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice.formats import elf, gzip, tar
from pumice.formats.elf import SharedObject
from pumice.formats.tar import Entry
from pumice.packing import names
from pumice.packing.layer_plan import LayerDigests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LAYER_START = bytes(gzip.compress_member(tar.encode_header(Entry("", "dir", 0o755))))
"""The first gzip member of a layer with one package: the root directory."""
LAYER_END = bytes(gzip.compress_member(tar.END_OF_ARCHIVE))
"""The last gzip member of every layer: the end of the archive."""

_MAX_BUFFERED_ELF = 4 << 20


class SegmentItem(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """An entry of a segment.

    ``offset`` is the position of its content in the uncompressed tar stream, ``sha256`` the hex digest
    of the content. ``sha1`` is used only for SPDX 2.3, which requires it (section 8.4).
    """

    entry: Entry
    offset: int = 0
    sha256: str = ""
    elf: SharedObject | None = None
    sha1: str = ""


class ContentHash(Protocol):
    """A hash of content that is read in chunks."""

    def update(self, chunk: bytes | memoryview, /) -> None:
        """Add a chunk."""

    def hexdigest(self) -> str:
        """Return the digest of all chunks in hexadecimal."""


def new_sha1() -> ContentHash:
    """Return the hash for `SegmentItem.sha1`, which only evidence documents need."""
    return hashlib.sha1(usedforsecurity=False)


class SegmentWriter:
    """Writes entries and records their positions.

    With ``has_own_layer`` it also writes every parent directory in front of a file, and computes the
    digests of the layer.
    """

    def __init__(self, sink: Callable[[bytearray], object], *, has_own_layer: bool) -> None:
        self._sink = sink
        self._layer_hasher = LayerHasher() if has_own_layer else None
        self._hash_layer_part(LAYER_START)
        self._gzip_writer = gzip.MemberWriter(self._write_member)
        self._written_directories: set[str] = {""}
        self._large_libraries: list[int] = []
        self.items: list[SegmentItem] = []
        self.implied_directories: set[str] = set()
        """Directories that were written with default attributes, before their own entry."""

    def _hash_layer_part(self, member: bytes) -> None:
        """Add the start or the end of a layer, which is not part of the segment, to the digests."""
        if self._layer_hasher:
            self._layer_hasher.add_member(member)
            self._layer_hasher.add_content(gzip.decompress_member(member))

    def _write_member(self, member: bytearray) -> None:
        self._sink(member)
        if self._layer_hasher:
            self._layer_hasher.add_member(member)

    def _write(self, data: bytes | memoryview) -> None:
        self._gzip_writer.write(data)
        if self._layer_hasher:
            self._layer_hasher.add_content(data)

    def add_directory(self, entry: Entry, attributes: Mapping[str, Entry]) -> None:
        """Write a directory if the segment has its own layer; ``attributes`` are those of parents by path.

        Raises ImageError for a name that a layer cannot hold.
        """
        names.check_entry_name(entry)
        if self._layer_hasher and entry.path not in self._written_directories:
            self._add_parents(entry.path, attributes)
            self._written_directories.add(entry.path)
            self._write(tar.encode_header(entry))

    def _add_parents(self, path: str, attributes: Mapping[str, Entry]) -> None:
        parent = posixpath.dirname(path)
        if not self._layer_hasher or parent in self._written_directories:
            return
        if parent not in attributes:
            self.implied_directories.add(parent)
        self.add_directory(attributes.get(parent) or Entry(parent, "dir", 0o755), attributes)

    def add(
        self, entry: Entry, content: tar.Source, attributes: Mapping[str, Entry], *, md5: bool = False
    ) -> str:
        """Write an entry other than a directory; return the MD5 of its content if ``md5`` is true.

        Raises ImageError for a name that a layer cannot hold.
        """
        names.check_entry_name(entry)
        self._add_parents(entry.path, attributes)
        self._write(tar.encode_header(entry))
        offset = self._gzip_writer.content_size
        if entry.kind != "file":
            self.items.append(SegmentItem(entry))
            return ""
        is_library = may_be_library(entry)
        elf_chunks: list[bytes | memoryview] = []
        sha256, sha1 = hashlib.sha256(), new_sha1()
        md5_hash = hashlib.md5(usedforsecurity=False) if md5 else None
        remaining = entry.size
        read_some: Callable[[int], bytes | memoryview] = getattr(content, "read_some", content.read)
        while remaining and (chunk := read_some(min(remaining, self._gzip_writer.space_in_member))):
            remaining -= len(chunk)
            self._write(chunk)
            sha256.update(chunk)
            sha1.update(chunk)
            if md5_hash:
                md5_hash.update(chunk)
            if is_library and entry.size <= _MAX_BUFFERED_ELF:
                elf_chunks.append(chunk)
        self._write(bytes(tar.padding_size(entry.size)))
        if is_library and not elf_chunks:
            self._large_libraries.append(len(self.items))
        elf_facts = _identify_elf(b"".join(elf_chunks))
        self.items.append(SegmentItem(entry, offset, sha256.hexdigest(), elf_facts, sha1.hexdigest()))
        return md5_hash.hexdigest() if md5_hash else ""

    def close(self) -> LayerDigests | None:
        """Flush the last gzip member; return the digests of the layer if the segment has its own."""
        self._gzip_writer.close()
        self._hash_layer_part(LAYER_END)
        return self._layer_hasher.digests() if self._layer_hasher else None

    @property
    def tar_size(self) -> int:
        """The size of the uncompressed tar stream so far, in bytes."""
        return self._gzip_writer.content_size

    @property
    def members(self) -> tuple[int, ...]:
        """The compressed size of each gzip member, in bytes."""
        return tuple(self._gzip_writer.member_sizes)

    def identify_large_libraries(self, read: Callable[[int, int], bytes]) -> None:
        """Identify libraries that were too large to buffer; ``read`` reads the uncompressed stream."""
        for number in self._large_libraries:
            segment_item = self.items[number]
            size = segment_item.entry.size

            def read_item(
                offset: int, length: int, start: int = segment_item.offset, end: int = size
            ) -> bytes:
                return read(start + offset, max(0, min(length, end - offset)))

            elf_facts = elf.read_shared_object(read_item, size)
            self.items[number] = msgspec.structs.replace(segment_item, elf=elf_facts)


class LayerHasher:
    """Computes the digests and sizes of a layer from its gzip members and their content, in order."""

    def __init__(self) -> None:
        self._compressed_hash = hashlib.sha256()
        self._content_hash = hashlib.sha256()
        self._size = 0
        self._tar_size = 0

    def add_member(self, member: bytes | bytearray) -> None:
        """Add the bytes of a gzip member."""
        self._compressed_hash.update(member)
        self._size += len(member)

    def add_content(self, content: bytes | bytearray | memoryview) -> None:
        """Add uncompressed bytes, which may be a part of the content of a member."""
        self._content_hash.update(content)
        self._tar_size += len(content)

    def digests(self) -> LayerDigests:
        """Return the digests of what was added."""
        compressed, content = self._compressed_hash.hexdigest(), self._content_hash.hexdigest()
        return LayerDigests("sha256:" + compressed, self._size, "sha256:" + content, self._tar_size)


def may_be_library(entry: Entry) -> bool:
    """Whether the loader's cache may contain a file with this name."""
    name = posixpath.basename(entry.path)
    return entry.size > 0 and ".so" in name and name.startswith(("lib", "ld-"))


def _identify_elf(data: bytes) -> SharedObject | None:
    if not data:
        return None
    return elf.read_shared_object(lambda offset, length: data[offset : offset + length], len(data))
