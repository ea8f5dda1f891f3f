"""The archive of an App Container image: what is in it, and how it is read and written (spec/aci.md).

An image is a tar archive with a file ``manifest`` and a directory ``rootfs``, and nothing else.
Its ID is the SHA-512 of the uncompressed archive.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pumice.appc.image_manifest import MAX_MANIFEST
from pumice.appc.names import IMAGE_ID_PREFIX
from pumice.appc.streams import BackgroundHash, Compression, open_compressor
from pumice.errors import FormatError
from pumice.formats import tar
from pumice.formats.compression import DecompressedStream, detect_compression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.appc.streams import Sink
    from pumice.formats.tar import Body, Entry, Source

MANIFEST = "manifest"
ROOTFS = "rootfs"
_PREFIX = f"{ROOTFS}/"
_CHUNK = 1 << 18
_LEAST_ALONE = 1 << 16
_MAX_ENTRIES = 2_000_000
_MAX_NAMES = 512 << 20
_MAX_DEPTH = 256
_MAX_PATH = 4096
_FREE_EXPANSION = 1 << 30
_EXPANSION = 200
"""As for layers: an image may have 1 GiB plus 200 times its compressed size."""
_BZIP2 = b"BZh"
_PGP_PACKETS = {0x84: (3,), 0x85: (3,), 0xC1: (3, 6), 0x8C: (4,), 0xC3: (4, 5, 6)}
"""The first bytes of packets with the session key of a message, and their versions."""
_PGP_MESSAGE = b"-----BEGIN PGP MESSAGE"

_OTHER_ARCHIVES = ("oci-layout", "index.json", "blobs", "manifest.json", "repositories")
"""What archives of OCI and docker have at their top."""


class AciReader:
    """An image that is read once; a context manager.

    ``find_size`` returns the size of the file in bytes; if the file is still growing, once it has as many
    bytes as the argument, or is complete. After all entries were read, `manifest` and `image_id` are known.
    Raises FormatError for anything that the specification forbids or that is hostile.
    """

    def __init__(
        self, source: Source, find_size: Callable[[int], int], *, non_standard: bool = False
    ) -> None:
        start = source.read(tar.BLOCK)
        self.compression = _detect(start)
        if self.compression == "zstd" and not non_standard:
            raise FormatError(
                "the image is compressed with zstd, which App Container does not have",
                hint="convert it: pumice convert --non-standard aci:FILE aci:NEW",
            )
        self._content = _HashedContent(find_size)
        self._stream = DecompressedStream(
            _Prepended(start, source), self.compression, observe=self._content.update
        )
        self._manifest: bytes | None = None
        self._image_id = ""

    @property
    def manifest(self) -> bytes:
        """The bytes of the manifest; raises FormatError if there is none, or not yet."""
        if self._manifest is None:
            raise FormatError(f"the archive has no {MANIFEST}")
        return self._manifest

    @property
    def image_id(self) -> str:
        """The image ID, "" before all entries were read."""
        return self._image_id

    def read_manifest(self) -> bytes:
        """Return the manifest without reading further than it; the reader cannot be used afterwards."""
        for _ in self._entries(ArchiveNames()):
            if self._manifest is not None:
                break
        return self.manifest

    def entries(self) -> Iterator[tuple[Entry, Body]]:
        """Yield the entries of the root file system in their order; their paths are below the root."""
        for entry, body in self._all_entries():
            if entry.path != MANIFEST:
                yield _strip_prefix(entry), body

    def check(self) -> None:
        """Read all entries."""
        for _ in self._all_entries():
            pass

    def _all_entries(self) -> Iterator[tuple[Entry, Body]]:
        names = ArchiveNames()
        yield from self._entries(names)
        self._finish()
        names.check_complete()

    def _entries(self, names: ArchiveNames) -> Iterator[tuple[Entry, Body]]:
        for entry, body in tar.read_entries(self._stream, skip_global_headers=True, needs_end=True):
            names.add(entry)
            if entry.path == MANIFEST:
                if entry.size > MAX_MANIFEST:
                    raise FormatError(f"the {MANIFEST} is larger than {MAX_MANIFEST >> 20} MiB")
                self._manifest = body.read()
            if entry.path:
                yield entry, body

    def _finish(self) -> None:
        while chunk := self._stream.read(_CHUNK):
            if chunk.count(0) != len(chunk):
                raise FormatError("the archive has data after its end mark")
        self._image_id = IMAGE_ID_PREFIX + self._content.finish()

    def __enter__(self) -> AciReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._content.close()


class ArchiveNames:
    """The names of an archive so far: each once, below directories, and hard links after their targets."""

    def __init__(self) -> None:
        self._is_directory: dict[str, bool] = {}
        self._implied: set[str] = set()
        self._size = 0

    def add(self, entry: Entry) -> None:
        """Check the next entry; raises FormatError."""
        path, kind, link = entry.path, entry.kind, entry.link
        if kind == "hardlink" or not path.startswith(_PREFIX):
            self._check_place(entry)
        self._size += len(path) + len(link)
        if entry.xattrs:
            self._size += sum(map(len, entry.xattrs.values()))
        if len(self._is_directory) >= _MAX_ENTRIES or self._size > _MAX_NAMES:
            raise FormatError("the archive has too many files, or too long names")
        if len(path) > _MAX_PATH or path.count("/") >= _MAX_DEPTH or len(link) > _MAX_PATH:
            raise FormatError(f"the path {path[:100]!r}... is too long or too deep")
        if path in self._is_directory:
            if path not in self._implied or kind != "dir":
                raise FormatError(f"{path[:200]!r} is in the archive twice")
            self._implied.discard(path)
        if not self._is_directory.get(path.rpartition("/")[0]):
            self._imply_parents(path)
        if link or kind in ("hardlink", "symlink"):
            self._check_link(entry)
        self._is_directory[path] = kind == "dir"

    def _check_link(self, entry: Entry) -> None:
        where = repr(entry.path[:200])
        if entry.kind == "hardlink" and self._is_directory.get(entry.link) is not False:
            raise FormatError(
                f"{where} is a hard link to {entry.link[:200]!r}, which is not a file before it"
            )
        if "\0" in entry.link or (entry.kind == "symlink" and not entry.link):
            raise FormatError(f"{where} is a link without a target")

    def check_complete(self) -> None:
        """Raise FormatError if the manifest or the root is missing."""
        if MANIFEST not in self._is_directory:
            raise FormatError(f"the archive has no {MANIFEST}")
        if ROOTFS not in self._is_directory or ROOTFS in self._implied:
            raise FormatError(f"the archive has no directory {ROOTFS}")

    def _check_place(self, entry: Entry) -> None:
        path, kind = entry.path, entry.kind
        if path == MANIFEST and kind != "file":
            raise FormatError(f"the {MANIFEST} is a {kind}, not a file")
        if path in ("", ROOTFS) and kind != "dir":
            raise FormatError(f"{path or '.'!r} is a {kind}, not a directory")
        if path not in ("", MANIFEST, ROOTFS) and not path.startswith(_PREFIX):
            is_other = path.partition("/")[0] in _OTHER_ARCHIVES
            raise FormatError(
                f"the archive has {path[:200]!r} outside of {ROOTFS}/",
                hint="convert an OCI archive with 'pumice convert oci-archive:FILE aci:NEW'"
                if is_other
                else None,
            )
        if kind == "hardlink" and not entry.link.startswith(_PREFIX):
            raise FormatError(f"{path[:200]!r} is a hard link to {entry.link[:200]!r}, outside of {ROOTFS}/")

    def _imply_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        while parent:
            is_directory = self._is_directory.get(parent)
            if is_directory:
                return
            if is_directory is False:
                raise FormatError(f"{path[:200]!r} is below {parent[:200]!r}, which is not a directory")
            self._is_directory[parent] = True
            self._implied.add(parent)
            parent = parent.rpartition("/")[0]


class AciWriter:
    """An image that is written: the manifest, then the root, then what is below it.

    ``sink`` gets the bytes of the file. A context manager: leaving it with an exception gives up.
    """

    def __init__(
        self,
        manifest: bytes,
        compression: Compression,
        sink: Sink,
    ) -> None:
        self._hash = BackgroundHash(hashlib.sha512())
        self._compressor = open_compressor(compression, sink)
        self._batch = bytearray()
        """What was not passed on yet, because headers and most files have few bytes."""
        self._batch += tar.encode_header(tar.Entry(MANIFEST, "file", 0o644, size=len(manifest)))
        self._batch += manifest + bytes(tar.padding_size(len(manifest)))

    def add(self, entry: Entry, body: Source | None = None) -> None:
        """Add an entry with its path below the root; a file has its content in ``body``."""
        path = f"{_PREFIX}{entry.path}" if entry.path else ROOTFS
        link = f"{_PREFIX}{entry.link}" if entry.kind == "hardlink" else entry.link
        self._batch += tar.encode_header(_with_names(entry, path, link))
        if entry.size and body is not None:
            self._write_body(entry, body)
        if len(self._batch) >= _CHUNK:
            self._flush()

    def _write_body(self, entry: Entry, body: Source) -> None:
        read_some: Callable[[int], bytes | memoryview] = getattr(body, "read_some", body.read)
        remaining = entry.size
        while remaining and (data := read_some(min(remaining, _CHUNK))):
            remaining -= len(data)
            if len(data) < _LEAST_ALONE:
                self._batch += data
            else:
                self._flush()
                self._hash.update(data)
                self._compressor.write(data)
        if remaining:
            raise FormatError("a file is shorter than its header says", where=entry.path)
        self._batch += bytes(tar.padding_size(entry.size))

    def finish(self) -> str:
        """Write the end; return the image ID."""
        self._batch += tar.END_OF_ARCHIVE
        self._flush()
        self._compressor.close()
        return IMAGE_ID_PREFIX + self._hash.finish()[0]

    def _flush(self) -> None:
        batch, self._batch = self._batch, bytearray()
        self._hash.update(batch)
        self._compressor.write(batch)

    def __enter__(self) -> AciWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._compressor.abandon()
        self._hash.__exit__(*exc)


class _Prepended:
    """A source with some bytes before it."""

    def __init__(self, start: bytes, source: Source) -> None:
        self._start = start
        self._source = source

    def read(self, size: int, /) -> bytes:
        data, self._start = self._start[:size], self._start[size:]
        return data + self._source.read(size - len(data)) if len(data) < size else data


class _HashedContent:
    """The hash of an uncompressed archive, whose size is bounded by that of the file."""

    def __init__(self, find_size: Callable[[int], int]) -> None:
        self._find_size = find_size
        self._position = 0
        self._limit = _FREE_EXPANSION
        self._hash = BackgroundHash(hashlib.sha512())

    def update(self, data: bytes) -> None:
        """Append content; raises FormatError if it is too much."""
        self._position += len(data)
        if self._position > self._limit:
            compressed_size = self._find_size(-(-(self._position - _FREE_EXPANSION) // _EXPANSION))
            self._limit = _FREE_EXPANSION + _EXPANSION * compressed_size
            if self._position > self._limit:
                raise FormatError("the compressed data expands to more than the allowed size")
        self._hash.update(data)

    def finish(self) -> str:
        """Return the digest of all content."""
        return self._hash.finish()[0]

    def close(self) -> None:
        """End the thread that hashes."""
        self._hash.__exit__()


def _detect(start: bytes) -> str:
    if start.startswith(_BZIP2):
        return "bzip2"
    kind = detect_compression(start[:6])
    if kind == "plain" and start[257:262] != b"ustar":
        if _is_encrypted(start):
            raise FormatError("the image is encrypted", hint="decrypt it first: pumice aci decrypt FILE NEW")
        raise FormatError("the file is not an App Container image: it is not a tar archive")
    return kind


def _is_encrypted(start: bytes) -> bool:
    """Return whether data begins with an encrypted message of OpenPGP (RFC 9580, 4.2, 5.1 and 5.3)."""
    if start.startswith(_PGP_MESSAGE):
        return True
    if len(start) < 4 or start[0] not in _PGP_PACKETS:
        return False
    length_size = 2 if start[0] == 0x85 else 1
    return start[1 + length_size] in _PGP_PACKETS[start[0]]


def _strip_prefix(entry: Entry) -> Entry:
    path = entry.path[len(_PREFIX) :]  # "" for the root itself
    link = entry.link[len(_PREFIX) :] if entry.kind == "hardlink" else entry.link
    return _with_names(entry, path, link)


def _with_names(entry: Entry, path: str, link: str) -> Entry:
    """Return an entry with another path and link; ``replace`` of msgspec takes several times as long."""
    owner = (entry.uid, entry.gid)
    return tar.Entry(
        *(path, entry.kind, entry.mode, *owner, entry.mtime, entry.size, link, entry.xattrs, entry.device)
    )
