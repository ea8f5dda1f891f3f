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
from pumice.image.regular_file import open_plain, read_failures
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from typing import IO

_MAX_MEMBERS = 100_000
_LEAST_LIMIT = 1 << 30
_MOST_EXPANSION = 200
"""As for layers: a compressed archive may grow to this many times its size, or to 1 GiB."""
_CHUNK = 1 << 20

Places = dict[str, tuple[int, int]]
"""Member path to offset and size, in bytes."""


class Members(msgspec.Struct, frozen=True):
    """What is in an archive: where files lie and what links lead to, both by path.

    ``path`` is where the tar file can be read, as long as ``held`` lives.
    """

    places: Places
    links: dict[str, str]
    path: Path
    held: object = None


def section(members: Members, offset: int, size: int) -> BinaryIO:
    """Open a member of an archive by where it lies."""
    with read_failures(members.path):
        return cast("BinaryIO", io.BufferedReader(_Section(members, offset, size)))


class _Section(io.RawIOBase):
    """Some bytes in the middle of a file."""

    def __init__(self, members: Members, offset: int, size: int) -> None:
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


def look(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does: whoever checks it after reading it compares."""
    with read_failures(path):
        try:
            status = path.stat()
        except FileNotFoundError:
            return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def small(members: Members, place: tuple[int, int], name: str) -> bytes:
    """Return a member of at most 4 MiB; raises FormatError for a larger one."""
    offset, size = place
    if size > oci.MAX_DOCUMENT:
        raise FormatError(f"its {name[:200]} is larger than 4 MiB", where=str(members.path))
    with section(members, offset, size) as file:
        return file.read(size)


class _Counted:
    """A file that knows where it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.position = 0

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self.position += len(data)
        return data


class _Held:
    """A file without a name, which is there as long as this is."""

    def __init__(self, descriptor: int) -> None:
        own = os.dup(descriptor)
        self.path = Path(f"/proc/self/fd/{own}")
        weakref.finalize(self, os.close, own)


def scan(path: Path) -> Members:
    """Find where each member lies, also of a compressed tar file; raises FormatError for what is none."""
    file = open_plain(path)
    if file is None:
        raise ImageError("there is no such file", where=str(path))
    with read_failures(path), file:
        kind = detect_compression(file.read(6))
        file.seek(0)
        try:
            if kind == "plain":
                return _members(_Counted(file), path, None)
            with _decompressed(file, kind) as content:
                held = _Held(content.fileno())
                return _members(_Counted(cast("BinaryIO", content)), held.path, held)
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


def _members(source: _Counted, path: Path, held: object) -> Members:
    """As in tar itself, the last of several members with one name counts."""
    members = Members({}, {}, path, held)
    for count, (entry, _) in enumerate(tar.read_entries(source, skip_global_headers=True)):
        if count >= _MAX_MEMBERS:
            raise FormatError(f"the archive has more than {_MAX_MEMBERS} members")
        members.places.pop(entry.path, None)
        members.links.pop(entry.path, None)
        if entry.kind == "file":
            members.places[entry.path] = (source.position, entry.size)
        elif entry.kind == "hardlink":
            members.links[entry.path] = entry.link
        elif entry.kind == "symlink":
            folder = posixpath.dirname(entry.path)
            members.links[entry.path] = posixpath.normpath(posixpath.join(folder, entry.link))
    return members
