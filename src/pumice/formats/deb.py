"""Binary packages (deb(5)): an ``ar`` archive with a version, control files and data."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import FormatError
from pumice.formats import deb822, tar
from pumice.formats.compression import DecompressedStream

if TYPE_CHECKING:
    from pumice.formats.tar import Source

_MAGIC = b"!<arch>\n"
_HEADER = 60
_MAX_CONTROL = 64 << 20
_MAX_CONTROL_FILE = 16 << 20
# deb(5), and what dpkg-deb still unpacks.
_COMPRESSIONS = {"": "plain", ".gz": "gzip", ".xz": "xz", ".zst": "zstd", ".bz2": "bzip2", ".lzma": "lzma"}
_REQUIRED = ("Package", "Version", "Architecture")
_HINT = "the file is damaged or not a Debian package"


class Member(msgspec.Struct, frozen=True):
    """One member of an ``ar`` archive; offsets and sizes in bytes, ``mtime`` in seconds since the epoch."""

    name: str
    mtime: int
    offset: int
    size: int


class Control(msgspec.Struct, frozen=True):
    """The content of the control archive.

    ``fields`` is the control paragraph in its original order, with continuation lines; ``files`` are the
    other control files; ``newest`` is the latest member time of the package, in seconds since the epoch.
    """

    fields: dict[str, str]
    files: dict[str, bytes]
    newest: int


def read_members(file: BinaryIO) -> list[Member]:
    """Return the members of the ``ar`` archive; raises FormatError if it is not a package."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise FormatError("the file is not an ar archive", hint=_HINT)
    members: list[Member] = []
    offset = len(_MAGIC)
    while offset < size:
        file.seek(offset)
        member = _parse_member(file.read(_HEADER), offset + _HEADER)
        if member.offset + member.size > size:
            raise FormatError(f"the package is truncated in {member.name!r}", hint=_HINT)
        members.append(member)
        offset = member.offset + member.size + member.size % 2
        if len(members) > 32:
            raise FormatError("the package has more than 32 members", hint=_HINT)
    return members


def _parse_member(block: bytes, offset: int) -> Member:
    if len(block) != _HEADER or block[58:] != b"`\n":
        raise FormatError("an ar header is damaged", hint=_HINT)
    name = block[:16].rstrip(b" ").removesuffix(b"/")
    time, length = block[16:28].strip(b" "), block[48:58].strip(b" ")
    if not name.isascii() or not length.isdigit() or not (time.isdigit() or not time):
        raise FormatError("an ar header is damaged", hint=_HINT)
    return Member(name.decode(), int(time or 0), offset, int(length))


def read_control(file: BinaryIO) -> Control:
    """Return the control archive of a package; raises FormatError if it is malformed."""
    members = read_members(file)
    files: dict[str, bytes] = {}
    for entry, body in tar.read_entries(_open_archive(file, members, "control.tar", _MAX_CONTROL)):
        if entry.kind != "file":
            continue
        if entry.size > _MAX_CONTROL_FILE:
            raise FormatError(f"the control file {entry.path!r} is larger than 16 MiB")
        files[entry.path] = body.read()
    if "control" not in files:
        raise FormatError("the package has no control file", hint=_HINT)
    paragraph = deb822.read_paragraph(files.pop("control"), where="control", latin1=True)
    # Field names are case-insensitive: the three that callers use get their usual spelling.
    canonical_names = {field.lower(): field for field in _REQUIRED}
    fields = {canonical_names.get(name.lower(), name): value for name, value in paragraph.items()}
    for field in _REQUIRED:
        if not fields.get(field):
            raise FormatError(f"the control file has no {field}", hint=_HINT)
    return Control(fields, files, max(member.mtime for member in members))


def open_data(file: BinaryIO) -> Source:
    """Return the data archive of a package as a stream of uncompressed tar.

    The output is limited to 64 MiB plus 400 times the size of the package, so that a compression bomb
    causes a FormatError and does not fill the disk.
    """
    members = read_members(file)
    return _open_archive(file, members, "data.tar", (64 << 20) + 400 * sum(member.size for member in members))


class _MemberStream:
    """The content of one member; readers of other members of the same file do not interfere."""

    def __init__(self, file: BinaryIO, member: Member) -> None:
        self._file = file
        self._position = member.offset
        self._remaining = member.size

    def read(self, size: int, /) -> bytes:
        self._file.seek(self._position)
        chunk = self._file.read(min(size, self._remaining))
        self._position += len(chunk)
        self._remaining -= len(chunk)
        return chunk


def _open_archive(file: BinaryIO, members: list[Member], base_name: str, limit: int) -> Source:
    if not members or members[0].name != "debian-binary":
        raise FormatError("the package does not start with debian-binary", hint=_HINT)
    version = _MemberStream(file, members[0]).read(16)
    if not version.startswith(b"2."):
        raise FormatError(f"the package has format {version!r}, but only 2.x is supported", hint=_HINT)
    for member in members:
        if member.name.startswith(base_name):
            kind = _COMPRESSIONS.get(member.name.removeprefix(base_name))
            if kind is None:
                known_suffixes = ", ".join(sorted(filter(None, _COMPRESSIONS)))
                raise FormatError(
                    f"{member.name!r} has an unsupported compression", hint=f"supported: {known_suffixes}"
                )
            return DecompressedStream(_MemberStream(file, member), kind, limit=limit)
    raise FormatError(f"the package has no {base_name}", hint=_HINT)
