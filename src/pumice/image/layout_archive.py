"""OCI image layouts in one tar file (image-spec 1.1, image-layout.md), read and written.

What skopeo, podman and containerd call an OCI archive. The small files come first, so that a reader
of a stream knows early what it is about.
"""

from __future__ import annotations

import io
import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from pumice import digest
from pumice.errors import FormatError, ImageError
from pumice.formats import oci, tar
from pumice.formats.compression import sniff
from pumice.image import archive, layout, layout_index
from pumice.image.content import Blob
from pumice.image.model import Archive
from pumice.image.plain import open_plain, read_failures

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.image.output import Output
    from pumice.progress import Progress

_MAX_MEMBERS = 100_000

Places = dict[str, tuple[int, int]]
"""Member path to offset and size, in bytes."""


class ArchiveBlobs:
    """The blobs of an archive, read where they lie."""

    def __init__(self, path: Path, places: Places) -> None:
        self._path = path
        self._places = places

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob; raises ImageError when it is not there. Whoever reads it checks it."""
        place = self._places.get(f"{layout.BLOBS}/{digest.hex_of(digest_)}")
        if place is None:
            raise ImageError(f"the archive has no blob {digest_}", where=str(self._path))
        return section(self._path, *place)


def section(path: Path, offset: int, size: int) -> BinaryIO:
    """Open a member of an archive by where it lies."""
    with read_failures(path):
        return cast("BinaryIO", io.BufferedReader(_Section(path, offset, size)))


class _Section(io.RawIOBase):
    """Some bytes in the middle of a file."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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


def read(path: Path, tag: str = "") -> Image:
    """Return the image called ``tag`` in an archive, or the only one; raises ImageError."""
    seen = look(path)
    places = scan(path).places
    blobs = ArchiveBlobs(path, places)
    for name in (layout.HEADER, layout.INDEX):
        if name not in places:
            raise _no_layout(path, places, name)
    header, index = (small(path, places[name], name) for name in (layout.HEADER, layout.INDEX))
    oci.read_layout_header(header)
    return layout_index.select(index, tag, str(path), blobs).inside(Archive(path, seen))


def look(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does: whoever checks it after reading it compares."""
    with read_failures(path):
        try:
            status = path.stat()
        except FileNotFoundError:
            return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _no_layout(path: Path, places: Places, name: str) -> ImageError:
    hint = f"read it as docker-archive:{path}" if "manifest.json" in places else None
    return ImageError(f"this is not an OCI archive: it has no {name}", where=str(path), hint=hint)


def small(path: Path, place: tuple[int, int], name: str) -> bytes:
    """Return a member of at most 4 MiB; raises FormatError for a larger one."""
    offset, size = place
    if size > oci.MAX_DOCUMENT:
        raise FormatError(f"its {name[:200]} is larger than 4 MiB", where=str(path))
    with section(path, offset, size) as file:
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


class Members(msgspec.Struct, frozen=True):
    """What is in an archive: where files lie, and what links lead to, both by path."""

    places: Places
    links: dict[str, str]


def scan(path: Path) -> Members:
    """Find where each member lies; raises FormatError for what is no tar file."""
    file = open_plain(path)
    if file is None:
        raise ImageError("there is no such file", where=str(path))
    with read_failures(path), file:
        kind = sniff(file.read(6))
        if kind != "plain":
            raise FormatError(f"the archive is compressed ({kind})", where=str(path), hint="unpack it first")
        file.seek(0)
        try:
            return _members(_Counted(file))
        except FormatError as error:
            raise FormatError(error.message, where=str(path), hint=error.hint) from None


def _members(source: _Counted) -> Members:
    """As in tar itself, the last of several members with one name counts."""
    members = Members({}, {})
    for count, (entry, _) in enumerate(tar.read(source, skip_global_headers=True)):
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


def write(
    image: Image, output: Output, tag: str, *, progress: Progress, name: str = "", listed: bool = False
) -> None:
    """Write a layout of just this image, tagged ``tag``, as a tar file: equal images, equal bytes.

    ``name`` and ``listed`` are as in `layout.whole`.
    """
    made = layout.whole(image, tag, name=name, listed=listed)
    blobs = [
        archive.Part(f"{layout.BLOBS}/{digest.hex_of(descriptor.digest)}", Blob(descriptor, made.image.blobs))
        for descriptor in sorted(made.parts, key=lambda descriptor: descriptor.digest)
    ]
    parts = [
        archive.text(layout.HEADER, layout.header()),
        archive.text(layout.INDEX, made.index),
        archive.Part("blobs"),
        archive.Part(layout.BLOBS),
        *blobs,
    ]
    archive.write(parts, output, progress)
