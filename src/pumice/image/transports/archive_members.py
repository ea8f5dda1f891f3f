"""Tar files that are read where they lie: what is in one, and where.

A compressed file cannot be read that way: its content goes into a temporary file without a name first.
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
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from typing import IO

_MAX_MEMBERS = 100_000
_LEAST_LIMIT = 1 << 30
_MOST_EXPANSION = 200
"""As for layers: a compressed archive may grow to this many times its size, or to 1 GiB."""
_CHUNK = 1 << 20

MemberRanges = dict[str, tuple[int, int]]
"""Member path to offset and size, in bytes."""


class ArchiveIndex(msgspec.Struct, frozen=True):
    """What is in an archive: where files lie and what links lead to, both by path.

    ``path`` is where the tar file can be read, as long as ``held`` lives.
    """

    ranges: MemberRanges
    links: dict[str, str]
    path: Path
    keep_alive: object = None


def open_member(members: ArchiveIndex, offset: int, size: int) -> BinaryIO:
    """Open a member of an archive by where it lies."""
    with read_failures(members.path):
        return cast("BinaryIO", io.BufferedReader(_FileRange(members, offset, size)))


class _FileRange(io.RawIOBase):
    """Some bytes in the middle of a file."""

    def __init__(self, members: ArchiveIndex, offset: int, size: int) -> None:
        super().__init__()
        self._descriptor = os.open(members.path, os.O_RDONLY | os.O_CLOEXEC)
        self._members = members  # what is held must live as long as this
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
    """Return what changes when a file does: whoever checks it after reading it compares."""
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
    """A file that knows where it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.position += len(data)
        return data


class _UnnamedFile:
    """A file without a name, which is there as long as this is."""

    def __init__(self, descriptor: int) -> None:
        own_descriptor = os.dup(descriptor)
        self.path = Path(f"/proc/self/fd/{own_descriptor}")
        weakref.finalize(self, os.close, own_descriptor)


def index_archive(path: Path) -> ArchiveIndex:
    """Find where each member lies, also of a compressed tar file; raises FormatError for what is none."""
    file = open_regular(path)
    if file is None:
        raise ImageError("there is no such file", where=str(path))
    with read_failures(path), file:
        compression = detect_compression(file.read(6))
        file.seek(0)
        try:
            if compression == "plain":
                return _index_members(_CountingReader(file), path, None)
            with _decompressed(file, compression) as content:
                unnamed_file = _UnnamedFile(content.fileno())
                return _index_members(
                    _CountingReader(cast("BinaryIO", content)), unnamed_file.path, unnamed_file
                )
        except FormatError as error:
            raise FormatError(error.message, where=str(path), hint=error.hint) from None


def _decompressed(file: BinaryIO, kind: str) -> IO[bytes]:
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
    """As in tar itself, the last of several members with one name counts."""
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
