"""Tar archives: canonical encoding of headers and strict reading of streams.

Headers are encoded as POSIX ustar, with PAX records (POSIX.1-2008, pax "extended header") for long or
non-ASCII names, extended attributes and large numbers. Readers accept ustar, GNU long names and PAX, and
refuse sparse files, paths outside the root, and PAX global headers unless they are skipped.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol
from zlib import adler32

import msgspec

from pumice.errors import FormatError
from pumice.formats import paxrecords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["file", "dir", "symlink", "hardlink", "char", "block", "fifo"]


class Entry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """One member of an archive.

    ``path`` is relative, ``/``-separated, without ``./`` or a final ``/``; the root is ``""``.
    ``mode`` holds the twelve permission bits, ``mtime`` whole seconds since the epoch, ``size``
    bytes (files only), ``link`` the text of a symlink or the target path of a hard link (in the form of
    ``path``), ``xattrs`` raw values by full name (``security.capability``).
    """

    path: str
    kind: Kind
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    link: str = ""
    xattrs: dict[str, bytes] = {}
    device: tuple[int, int] = (0, 0)


BLOCK = 512
END_OF_ARCHIVE = bytes(2 * BLOCK)
"""The end-of-archive mark."""

_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "char",
    b"4": "block",
    b"5": "dir",
    b"6": "fifo",
}
_FLAGS: dict[Kind, bytes] = {
    "file": b"0",
    "hardlink": b"1",
    "symlink": b"2",
    "char": b"3",
    "block": b"4",
    "dir": b"5",
    "fifo": b"6",
}
_MAX_NUMBER = 0o7777777
_MAX_LONG_NUMBER = 0o77777777777
_NO_OWNER_NAMES, _NO_DEVICE = bytes(64), b"%07o\0" % 0 * 2
_MAX_EXTENDED = 1 << 20
"""Maximum size of a long name or of a set of PAX records in bytes."""


def padding_size(size: int) -> int:
    """Return the number of zero bytes after a body of ``size`` bytes."""
    return -size % BLOCK


# Writing ------------------------------------------------------------------------------------------


def encode_header(entry: Entry) -> bytes:
    """Return the header blocks of ``entry``; equal entries have equal bytes.

    The caller appends the body, padded to whole blocks.
    """
    prefix, name = b"", _encode_name(entry)
    records: dict[str, bytes] = {}
    if len(name) > 100 or not name.isascii():
        prefix, name = _split_name(name, records)
    link = entry.link.encode("utf-8", "surrogateescape")
    if len(link) > 100 or not link.isascii():
        records["linkpath"] = link
        link = _replace_non_ascii(link)[:100]
    for attribute, value in entry.xattrs.items():
        records[paxrecords.XATTR + attribute] = value
    uid = _fit_number("uid", entry.uid, _MAX_NUMBER, records)
    gid = _fit_number("gid", entry.gid, _MAX_NUMBER, records)
    size = _fit_number("size", entry.size, _MAX_LONG_NUMBER, records)
    mtime = _fit_number("mtime", entry.mtime, _MAX_LONG_NUMBER, records)
    main_block = _encode_block(name, prefix, entry, uid, gid, size, mtime, _FLAGS[entry.kind], link)
    if not records:
        return main_block
    body = paxrecords.encode_records(records)
    # The name of the extended header is never used; a constant keeps the bytes reproducible.
    extended_block = _encode_block(b"@PaxHeader", b"", _EXTENDED_HEADER_ENTRY, 0, 0, len(body), 0, b"x", b"")
    return extended_block + body + bytes(padding_size(len(body))) + main_block


_EXTENDED_HEADER_ENTRY = Entry(path="", kind="file", mode=0o644)


def _encode_name(entry: Entry) -> bytes:
    if entry.kind != "dir":
        return entry.path.encode("utf-8", "surrogateescape")
    return (entry.path + "/").encode("utf-8", "surrogateescape") if entry.path else b"./"


def _split_name(path: bytes, records: dict[str, bytes]) -> tuple[bytes, bytes]:
    """Return the ustar prefix and name of a long ``path``; adds a PAX record if it does not fit."""
    if path.isascii() and len(path) <= 256:
        # The shortest prefix that leaves a name that fits, with the final slash of a directory.
        split = path.find(b"/", len(path) - 101, len(path) - 1)
        if 0 < split <= 155:
            return path[:split], path[split + 1 :]
    records["path"] = path
    return b"", _replace_non_ascii(path)[:100]


def _replace_non_ascii(text: bytes) -> bytes:
    return bytes(byte if 32 <= byte < 127 else 63 for byte in text)


def _fit_number(key: str, value: int, limit: int, records: dict[str, bytes]) -> int:
    if 0 <= value <= limit:
        return value
    records[key] = str(value).encode()
    return 0


def _encode_block(
    name: bytes,
    prefix: bytes,
    entry: Entry,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    flag: bytes,
    link: bytes,
) -> bytes:
    numbers = (entry.mode, uid, gid, size, mtime)
    start = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), *numbers)
    device = _NO_DEVICE if entry.device == (0, 0) else b"%07o\0%07o\0" % entry.device
    end = b"%s%sustar\00000%s%s%s" % (
        flag,
        link.ljust(100, b"\0"),
        _NO_OWNER_NAMES,
        device,
        prefix.ljust(167, b"\0"),
    )
    checksum = _sum_bytes(start + b" " * 8 + end)
    return b"%s%06o\0 %s" % (start, checksum, end)


# Reading ------------------------------------------------------------------------------------------


class Source(Protocol):
    """Bytes to read: ``read(n)`` returns fewer than ``n`` only at the end."""

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes."""


class Body:
    """The content of the current entry; unread content is skipped with the next entry."""

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._read_some: Callable[[int], bytes | memoryview] = getattr(source, "read_some", source.read)
        self._remaining = size
        self._padding = padding_size(size)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes (by default all remaining ones), ``b""`` at the end."""
        length = self._remaining if size < 0 else min(size, self._remaining)
        if not length:
            return b""
        data = self._source.read(length)
        if len(data) != length:
            raise FormatError("the archive is truncated in a file")
        self._remaining -= length
        return data

    def read_some(self, size: int, /) -> bytes | memoryview:
        """Return between 1 and ``size`` bytes, ``b""`` at the end; without a copy if possible."""
        length = min(size, self._remaining)
        if not length:
            return b""
        chunk = self._read_some(length)
        if not chunk:
            raise FormatError("the archive is truncated in a file")
        self._remaining -= len(chunk)
        return chunk

    def skip(self) -> None:
        """Skip the rest of the body and its padding."""
        pending = self._remaining + self._padding
        if pending <= _SMALL_SKIP:
            if pending and len(self._source.read(pending)) != pending:
                raise FormatError("the archive is truncated in a file")
            self._remaining = self._padding = 0
            return
        while self.read_some(1 << 20):
            pass
        if self._padding and len(self._source.read(self._padding)) != self._padding:
            raise FormatError("the archive is truncated in a file")
        self._padding = 0


def read_entries(
    source: Source, *, skip_global_headers: bool = False, needs_end: bool = False
) -> Iterator[tuple[Entry, Body]]:
    """Yield the entries of an archive in order, each with its body.

    Reads up to the end-of-archive mark, or, unless that ``needs_end``, to the end of ``source`` between two
    entries. Raises FormatError for malformed or sparse entries, for paths outside the root, and for PAX
    global headers unless ``skip_global_headers``: container engines ignore them, and ``git archive`` writes
    them.
    """
    extended: dict[str, bytes] = {}
    while True:
        block = source.read(BLOCK)
        if len(block) < BLOCK:
            if block:
                raise FormatError("the archive is truncated in a header")
            if needs_end:
                raise FormatError("the archive is truncated: it has no end mark")
            return
        if block == _ZERO:
            return
        flag = _check_header(block)
        fields = _FIELDS.unpack(block)
        size = _parse_field(fields[4])
        if flag == b"g":
            if not skip_global_headers:
                raise FormatError("the archive has a PAX global header, which is not supported")
            _read_extension(source, flag, size)
            continue
        if flag in _EXTENSIONS:
            extended |= _read_extension(source, flag, size)
            continue
        entry = _parse_entry(fields, flag, size, extended)
        if extended:
            extended = {}
        body = Body(source, entry.size)
        yield entry, body
        body.skip()


_ZERO = bytes(BLOCK)
_EXTENSIONS = (b"x", b"L", b"K")
_SMALL_SKIP = 1 << 16
_FIELDS = struct.Struct("100s 8s 8s 8s 12s 12s 8x c 100s 6s 66x 8s 8s 155s 12x")
"""Name, mode, uid, gid, size, mtime, type, link, magic, major and minor number, and prefix."""


def _check_header(block: bytes) -> bytes:
    try:
        expected_checksum = int(block[148:156].rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        expected_checksum = -1
    if expected_checksum != _sum_bytes(block) - sum(block[148:156]) + 8 * 32:
        raise FormatError("a tar header is damaged: wrong checksum")
    flag = block[156:157]
    if flag in _KINDS or flag in _EXTENSIONS or flag == b"g":
        return flag
    if flag == b"S":
        raise FormatError("the archive has a sparse file, which is not supported")
    raise FormatError(f"the archive has an entry of unknown type {flag!r}")


def _sum_bytes(block: bytes) -> int:
    """Return what ``sum`` does for a block; the lower half of adler32 is a sum, and much faster.

    It is that modulo 65521, which half a block stays below.
    """
    return (adler32(block[:256], 0) & 0xFFFF) + (adler32(block[256:], 0) & 0xFFFF)


@lru_cache(maxsize=1024)  # modes, owners and times repeat
def _parse_field(field: bytes) -> int:
    if field[0] & 0x80:
        sign = 1 << (8 * len(field) - 1)
        value = int.from_bytes(field, "big") & (sign - 1)
        if field[0] & 0x40:  # negative base-256, which only times before 1970 need
            value -= sign
    else:
        digits = field.strip(b"\0 ") or b"0"
        if digits.strip(b"01234567"):  # int() alone accepts 0o7, 1_0 and -1 too
            raise FormatError(f"a tar header has {field!r} instead of a number")
        value = int(digits, 8)
    if abs(value) > paxrecords.MAX_NUMBER:
        raise FormatError("a tar header has a number that is too large")
    return value


def _read_extension(source: Source, flag: bytes, size: int) -> dict[str, bytes]:
    if not 0 <= size <= _MAX_EXTENDED:
        raise FormatError("an extended tar header is larger than 1 MiB")
    body = Body(source, size)
    data = body.read()
    body.skip()
    if flag == b"L":
        return {"path": data.rstrip(b"\0")}
    if flag == b"K":
        return {"linkpath": data.rstrip(b"\0")}
    return paxrecords.read_records(data)


def _parse_entry(fields: tuple[bytes, ...], flag: bytes, size: int, extended: dict[str, bytes]) -> Entry:
    own_name, mode, user, group, _, modified, _, link_name, magic, major, minor, prefix = fields
    kind = _KINDS[flag]
    name = extended.get("path")
    if name is None:
        name = _parse_name(own_name, magic, prefix)
    if kind == "file" and name.endswith(b"/"):  # directories in pre-POSIX archives
        kind = "dir"
    path = normalize_path(name)
    link = extended.get("linkpath", b"")
    if not link and kind in ("symlink", "hardlink"):
        link = link_name.partition(b"\0")[0]
    link_text = normalize_path(link) if kind == "hardlink" else link.decode("utf-8", "surrogateescape")
    uid, gid, mtime = _parse_field(user), _parse_field(group), _parse_field(modified)
    xattrs: dict[str, bytes] = {}
    if extended:
        size, uid, gid, mtime = (
            paxrecords.read_number(extended, key, value)
            for key, value in (("size", size), ("uid", uid), ("gid", gid), ("mtime", mtime))
        )
        xattrs = paxrecords.read_xattrs(extended)
    if size < 0 or uid < 0 or gid < 0:
        raise FormatError(f"{path!r} has a negative size or owner")
    device = (0, 0)
    if kind in ("char", "block"):
        device = (_parse_field(major), _parse_field(minor))
    content_size = size if kind == "file" else 0
    permissions = _parse_field(mode) & 0o7777
    return Entry(path, kind, permissions, uid, gid, mtime, content_size, link_text, xattrs, device)


def _parse_name(name: bytes, magic: bytes, prefix: bytes) -> bytes:
    name = name.partition(b"\0")[0]
    if magic == b"ustar\0" and prefix[0]:
        return prefix.partition(b"\0")[0] + b"/" + name
    return name


def normalize_path(name: bytes) -> str:
    """Return the name of a member as `Entry.path`; raises FormatError if it is outside the root."""
    if name.startswith(b"./"):
        name = name[2:]
    name = name.strip(b"/") if name[:1] == b"/" or name[-1:] == b"/" else name
    text = name.decode("utf-8", "surrogateescape")
    if b"//" in name or b"/." in name or name[:1] == b".":
        components = [component for component in text.split("/") if component not in ("", ".")]
        if ".." in components:
            raise FormatError(f"the path {text!r} is outside the root of the archive")
        text = "/".join(components)
    if "\0" in text:
        raise FormatError(f"the path {text!r} contains a NUL")
    return text
