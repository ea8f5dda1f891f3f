"""Binary packages (deb(5)): an ``ar`` archive of a version mark, control files and data."""

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
    """One member of an ``ar`` archive; offsets and sizes are bytes, ``mtime`` seconds."""

    name: str
    mtime: int
    offset: int
    size: int


class Control(msgspec.Struct, frozen=True):
    """What the control archive holds.

    ``fields`` is the control paragraph in its own order, continuation lines included; ``files``
    every other control file; ``newest`` the newest member time of the package, in seconds.
    """

    fields: dict[str, str]
    files: dict[str, bytes]
    newest: int


def read_members(file: BinaryIO) -> list[Member]:
    """Return the members of an ``ar`` archive; raises FormatError when it is not a package's."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(_MAGIC)) != _MAGIC:
        raise FormatError("the file does not start like an ar archive", hint=_HINT)
    members: list[Member] = []
    offset = len(_MAGIC)
    while offset < size:
        file.seek(offset)
        member = _parse_member(file.read(_HEADER), offset + _HEADER)
        if member.offset + member.size > size:
            raise FormatError(f"the package ends in the middle of {member.name!r}", hint=_HINT)
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
    """Read the control archive of a package; raises FormatError when it is malformed."""
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
    # Names of fields have no case: the three that everybody asks for are given their usual one.
    usual = {field.lower(): field for field in _REQUIRED}
    fields = {usual.get(name.lower(), name): value for name, value in paragraph.items()}
    for field in _REQUIRED:
        if not fields.get(field):
            raise FormatError(f"the control file has no {field}", hint=_HINT)
    return Control(fields, files, max(member.mtime for member in members))


def open_data(file: BinaryIO) -> Source:
    """Return the data archive of a package as a stream of plain tar.

    What comes out is bounded in proportion to the package (64 MiB and 400 times its size), so that a
    compression bomb ends in a FormatError and not in a full disk.
    """
    members = read_members(file)
    return _open_archive(file, members, "data.tar", (64 << 20) + 400 * sum(member.size for member in members))


class _MemberStream:
    """A part of a file, read without disturbing other parts."""

    def __init__(self, file: BinaryIO, member: Member) -> None:
        self._file = file
        self._position = member.offset
        self._left = member.size

    def read(self, size: int, /) -> bytes:
        self._file.seek(self._position)
        chunk = self._file.read(min(size, self._left))
        self._position += len(chunk)
        self._left -= len(chunk)
        return chunk


def _open_archive(file: BinaryIO, members: list[Member], base_name: str, limit: int) -> Source:
    if not members or members[0].name != "debian-binary":
        raise FormatError("the package does not start with debian-binary", hint=_HINT)
    version = _MemberStream(file, members[0]).read(16)
    if not version.startswith(b"2."):
        raise FormatError(f"the package has format {version!r}, only 2.x is known", hint=_HINT)
    for member in members:
        if member.name.startswith(base_name):
            kind = _COMPRESSIONS.get(member.name.removeprefix(base_name))
            if kind is None:
                known_suffixes = ", ".join(sorted(filter(None, _COMPRESSIONS)))
                raise FormatError(
                    f"{member.name!r} has an unknown compression", hint=f"known are {known_suffixes}"
                )
            return DecompressedStream(_MemberStream(file, member), kind, limit=limit)
    raise FormatError(f"the package has no {base_name}", hint=_HINT)
