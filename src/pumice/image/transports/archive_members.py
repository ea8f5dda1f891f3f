"""Index of a tar file: which members it has, and where they are in the file.

A compressed file has no such positions, so it is decompressed into an unnamed temporary file first.
"""

from __future__ import annotations

import io
import os
import posixpath
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from pumice.errors import FormatError, ImageError
from pumice.formats import oci, tar
from pumice.formats.compression import DecompressedStream, detect_compression
from pumice.image.regular_file import open_regular, read_failures
from pumice.os_errors import IMAGE, suggest_path, translate_os_errors

if TYPE_CHECKING:
    from typing import IO

_MAX_MEMBERS = 100_000
_LEAST_LIMIT = 1 << 30
_MOST_EXPANSION = 200
"""As for layers: a compressed archive may expand to this many times its size, or to 1 GiB."""
_CHUNK = 1 << 20

MemberRanges = dict[str, tuple[int, int]]
"""Member path to offset and size, in bytes."""


class ArchiveIndex(msgspec.Struct, frozen=True):
    """The files of an archive with their positions, and the targets of its links, both by path.

    The tar file can be read at ``path`` for as long as ``keep_alive`` exists.
    """

    ranges: MemberRanges
    links: dict[str, str]
    path: Path
    keep_alive: object = None


def open_member(members: ArchiveIndex, offset: int, size: int) -> BinaryIO:
    """Open the member at a position of an archive."""
    with read_failures(members.path):
        return cast("BinaryIO", io.BufferedReader(_FileRange(members, offset, size)))


class _FileRange(io.RawIOBase):
    """A range of bytes of a file."""

    def __init__(self, members: ArchiveIndex, offset: int, size: int) -> None:
        super().__init__()
        self._descriptor = os.open(members.path, os.O_RDONLY | os.O_CLOEXEC)
        self._members = members  # keeps an unnamed file open
        self._position = offset
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(cast("bytearray", buffer)).cast("B")
        data = os.pread(self._descriptor, min(len(view), self._left), self._position)
        view[: len(data)] = data
        self._position += len(data)
        self._left -= len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def read_status(path: Path) -> tuple[int, ...]:
    """Return the device, inode, size, mtime and ctime of a file, to detect a change while it is read."""
    with read_failures(path):
        try:
            status = path.stat()
        except FileNotFoundError:
            return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def read_member(members: ArchiveIndex, member_range: tuple[int, int], name: str) -> bytes:
    """Return a member of at most 4 MiB; raises FormatError for a larger one."""
    offset, size = member_range
    if size > oci.MAX_DOCUMENT:
        raise FormatError(f"its {name[:200]} is larger than 4 MiB", where=str(members.path))
    with open_member(members, offset, size) as file:
        return file.read(size)


class _CountingReader:
    """A file that counts the bytes read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.position += len(data)
        return data


class UnnamedFile:
    """A file without a name, which exists as long as this object."""

    def __init__(self, descriptor: int) -> None:
        own_descriptor = os.dup(descriptor)
        self.path = Path(f"/proc/self/fd/{own_descriptor}")
        weakref.finalize(self, os.close, own_descriptor)


def index_archive(path: Path) -> ArchiveIndex:
    """Return the members of a tar file, compressed or not; raises FormatError for any other file."""
    file = open_regular(path)
    if file is None:
        raise ImageError("the file does not exist", where=str(path), hint=suggest_path(path))
    with read_failures(path), file:
        compression = detect_compression(file.read(6))
        file.seek(0)
        try:
            if compression == "plain":
                return _index_members(_CountingReader(file), path, None)
            with _decompress(file, compression) as content:
                unnamed_file = UnnamedFile(content.fileno())
                return _index_members(
                    _CountingReader(cast("BinaryIO", content)), unnamed_file.path, unnamed_file
                )
        except FormatError as error:
            raise FormatError(error.message, where=str(path), hint=error.hint) from None


def _decompress(file: BinaryIO, kind: str) -> IO[bytes]:
    limit = max(_LEAST_LIMIT, _MOST_EXPANSION * os.fstat(file.fileno()).st_size)
    source = DecompressedStream(file, kind, limit=limit)
    content = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    try:
        while data := source.read(_CHUNK):
            with translate_os_errors(f"a temporary file in {tempfile.gettempdir()}", IMAGE):
                content.write(data)
        content.seek(0)
    except BaseException:
        content.close()
        raise
    return content


def _index_members(source: _CountingReader, path: Path, keep_alive: object) -> ArchiveIndex:
    """Return the members; of several with the same name, the last one counts, as in tar."""
    index = ArchiveIndex({}, {}, path, keep_alive)
    for count, (entry, _) in enumerate(tar.read_entries(source, skip_global_headers=True)):
        if count >= _MAX_MEMBERS:
            raise FormatError(f"the archive has more than {_MAX_MEMBERS} members")
        index.ranges.pop(entry.path, None)
        index.links.pop(entry.path, None)
        if entry.kind == "file":
            index.ranges[entry.path] = (source.position, entry.size)
        elif entry.kind == "hardlink":
            index.links[entry.path] = entry.link
        elif entry.kind == "symlink":
            folder = posixpath.dirname(entry.path)
            index.links[entry.path] = posixpath.normpath(posixpath.join(folder, entry.link))
    return index
