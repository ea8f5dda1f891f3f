"""The ``Packages`` index of a Debian-style archive (deb-control(5), Debian repository format).

A suite has 63,000 stanzas, of which a build needs a few hundred, so the index is searched, not parsed.
One regular expression finds the offset of each name. The offsets, sorted by name, are a table that is
cached next to the index, and a lookup is a bisection in it.
"""

from __future__ import annotations

import hashlib
import re
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.formats import deb822

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from mmap import mmap

MAX_INDEX = 1 << 30
"""Maximum size of a decompressed index in bytes; the largest real ones have 70 million."""

_MAGIC = b"pumice names 1\n\0"
_HEADER = struct.Struct("<16sQ3I32s")
_FACTS = re.compile(rb"\n(?:Package:[ \t]*([^\s,(:]+)|Provides:[ \t]*([^\n]+)|Essential:[ \t]*(yes))")
_FIRST = re.compile(rb"Package:[ \t]*([^\s,(:]+)")
_NAME = re.compile(rb"[^\s,(:]+")
_PROVIDED = re.compile(rb"(?:^|,)[ \t]*([^\s,(:]+)")
_GRAMMAR = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"[A-Za-z0-9.+~:-]+")
_SOURCE = re.compile(r"(\S+)(?:[ \t]*\(([^)]*)\))?")


class PackageRecord(msgspec.Struct, frozen=True):
    """One stanza: a package of an archive.

    Relationship fields keep the text of the archive. ``installed_size`` is in KiB, ``size`` in bytes of
    the ``.deb``, ``filename`` is relative to the mirror. ``sha256`` is empty if the archive has only
    SHA-512. ``suite`` is the label ``ARCHIVE/SUITE`` of the index it was read from.
    """

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    filename: str
    size: int
    sha256: str
    sha512: str = ""
    installed_size: int = 0
    multi_arch: str = "no"
    essential: bool = False
    priority: str = "optional"
    section: str = ""
    depends: str = ""
    pre_depends: str = ""
    recommends: str = ""
    conflicts: str = ""
    breaks: str = ""
    replaces: str = ""
    provides: str = ""
    suite: str = ""


class NameTable(msgspec.Struct, frozen=True):
    """Byte offsets in an index of ``size`` bytes, sorted by the name at each offset.

    ``names`` are offsets of package names, ``provides`` of names in Provides fields, ``essential`` of
    ``Essential: yes`` fields.
    """

    size: int
    names: array[int]
    provides: array[int]
    essential: array[int]


def scan_index(data: bytes | bytearray | mmap) -> NameTable:
    """Return the table of the index ``data``; raises FormatError if it is larger than `MAX_INDEX`."""
    if len(data) > MAX_INDEX:
        raise FormatError("the index is larger than 1 GiB")
    names: list[tuple[bytes, int]] = []
    provides: list[tuple[bytes, int]] = []
    essential = array("I")
    first_name = _FIRST.match(data)
    if first_name is not None:
        names.append((first_name[1], first_name.start(1)))
    for match in _FACTS.finditer(data):
        kind = match.lastindex
        if kind == 1:
            names.append((match[1], match.start(1)))
        elif kind == 2:
            offset = match.start(2)
            for provided_name in _PROVIDED.finditer(match[2]):
                provides.append((provided_name[1], offset + provided_name.start(1)))  # noqa: PERF401 - twice as fast as extend here
        else:
            essential.append(match.start(3))
    names.sort()
    provides.sort()
    return NameTable(
        len(data),
        array("I", [provided_name[1] for provided_name in names]),
        array("I", [provided_name[1] for provided_name in provides]),
        essential,
    )


def encode_table(table: NameTable) -> bytes:
    """Return the bytes for `read_table`: the same on every machine, with a checksum."""
    body = b"".join(
        _to_little_endian(offsets).tobytes() for offsets in (table.names, table.provides, table.essential)
    )
    counts = (len(table.names), len(table.provides), len(table.essential))
    return _HEADER.pack(_MAGIC, table.size, *counts, hashlib.sha256(body).digest()) + body


def read_table(data: bytes) -> NameTable:
    """Return the table in ``data``; raises FormatError if it is not what `encode_table` returned."""
    if len(data) < _HEADER.size:
        raise FormatError("the name table is truncated")
    magic, size, name_count, provided_count, essential_count, checksum = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    if (
        magic != _MAGIC
        or len(body) != 4 * (name_count + provided_count + essential_count)
        or hashlib.sha256(body).digest() != checksum
    ):
        raise FormatError("the name table is damaged")
    arrays = []
    start = 0
    for count in (name_count, provided_count, essential_count):
        offsets = array("I")
        offsets.frombytes(body[start : start + 4 * count])
        arrays.append(_to_little_endian(offsets))
        start += 4 * count
    return NameTable(size, *arrays)


class Index:
    """An index and its table: packages by name, which are parsed when they are looked up."""

    def __init__(self, data: bytes | bytearray | mmap, table: NameTable, suite: str = "") -> None:
        """``suite`` goes into the records. Raises FormatError if the table is not of ``data``."""
        if len(data) != table.size:
            raise FormatError("the name table belongs to another index")
        self._data = data
        self._table = table
        self.suite = suite
        self._records: dict[int, PackageRecord] = {}

    def __len__(self) -> int:
        return len(self._table.names)

    def versions(self, name: str) -> list[PackageRecord]:
        """Return every stanza of the package ``name``, in the archive's order."""
        return [self._record_at(offset) for offset in self._find_offsets(self._table.names, name)]

    def providers(self, name: str) -> list[PackageRecord]:
        """Return every stanza whose Provides field has ``name``, in the archive's order."""
        records = [self._record_at(offset) for offset in self._find_offsets(self._table.provides, name)]
        return list({id(record): record for record in records}.values())

    def essential(self) -> list[PackageRecord]:
        """Return every stanza with ``Essential: yes``, in the archive's order."""
        return [self._record_at(offset) for offset in self._table.essential]

    def names(self) -> Iterator[str]:
        """Yield the names of all packages, sorted, without duplicates."""
        previous_name = b""
        for offset in self._table.names:
            name = self._name_at(offset)
            if name != previous_name:
                yield name.decode("utf-8", "replace")
            previous_name = name

    def _find_offsets(self, table: array[int], name: str) -> Iterable[int]:
        encoded_name = name.encode()
        start = bisect_left(table, encoded_name, key=self._name_at)
        return table[start : bisect_right(table, encoded_name, lo=start, key=self._name_at)]

    def _name_at(self, offset: int) -> bytes:
        match = _NAME.match(self._data, offset)
        return match[0] if match else b""

    def _record_at(self, offset: int) -> PackageRecord:
        """Return the package of the stanza around ``offset``."""
        start = self._data.rfind(b"\n\n", 0, offset) + 1
        end = self._data.find(b"\n\n", offset)
        cached_record = self._records.get(start)
        if cached_record is None:
            text = bytes(self._data[start : end if end >= 0 else len(self._data)])
            cached_record = self._records[start] = read_stanza(text, self.suite)
        return cached_record


def read_stanza(stanza: bytes, suite: str = "") -> PackageRecord:
    """Return the package of one stanza; raises FormatError if it is malformed."""
    fields = deb822.lowercase_names(deb822.read_paragraph(stanza, latin1=True, where=suite or None))
    name = fields.get("package", "")
    where = f"{suite}: {name[:100]}" if suite else name[:100] or None
    version = fields.get("version", "")
    source = _SOURCE.fullmatch(fields.get("source", name))
    if not _GRAMMAR.fullmatch(name):
        raise FormatError("the name of a package is malformed", where=where)
    if not _VERSION.fullmatch(version):
        raise FormatError("the version of a package is malformed", where=where)
    if source is None:
        raise FormatError("the source of a package is malformed", where=where)
    return PackageRecord(
        name=name,
        version=version,
        architecture=_check_architecture(fields.get("architecture", ""), where),
        source=source[1],
        source_version=source[2] or version,
        filename=check_relative_path(fields.get("filename", ""), where),
        size=_parse_size(fields.get("size", ""), where),
        sha256=_check_hex_digits(fields.get("sha256", ""), 64, where),
        sha512=_check_hex_digits(fields.get("sha512", ""), 128, where),
        installed_size=_parse_installed_size(fields.get("installed-size", "")),
        multi_arch=fields.get("multi-arch", "no"),
        essential=fields.get("essential", "") == "yes",
        priority=fields.get("priority", "optional"),
        section=fields.get("section", ""),
        depends=_unfold(fields.get("depends", "")),
        pre_depends=_unfold(fields.get("pre-depends", "")),
        recommends=_unfold(fields.get("recommends", "")),
        conflicts=_unfold(fields.get("conflicts", "")),
        breaks=_unfold(fields.get("breaks", "")),
        replaces=_unfold(fields.get("replaces", "")),
        provides=_unfold(fields.get("provides", "")),
        suite=suite,
    )


def check_relative_path(text: str, where: str | None = None) -> str:
    """Return ``text`` if it is a relative path without ``..``; raises FormatError for anything else."""
    path = text.removeprefix("./")
    components = path.split("/")
    if (
        not path.isprintable()
        or "\\" in path
        or any(component in {"", ".", ".."} for component in components)
    ):
        raise FormatError(f"{text[:200]!r} is not a relative path on a mirror", where=where)
    return path


def _to_little_endian(offsets: array[int]) -> array[int]:
    if sys.byteorder == "big":
        offsets = offsets[:]
        offsets.byteswap()
    return offsets


def _check_architecture(text: str, where: str | None) -> str:
    if not _GRAMMAR.fullmatch(text):
        raise FormatError("the architecture of a package is missing or malformed", where=where)
    return text


def _parse_size(text: str, where: str | None) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise FormatError(f"{text[:50]!r} is not a size", where=where)
    return int(text)


def _parse_installed_size(text: str) -> int:
    """Return the value of an Installed-Size as apt reads it: ``12.5`` is 12, and text is 0."""
    match = re.match("[0-9]{1,15}(?![0-9])", text)
    return int(match[0]) if match else 0


def _check_hex_digits(text: str, length: int, where: str | None) -> str:
    if text and (len(text) != length or text.strip("0123456789abcdef")):
        raise FormatError(f"{text[:150]!r} is not a digest", where=where)
    return text


def _unfold(text: str) -> str:
    """Return a relationship field on one line; it may be folded."""
    return " ".join(text.split()) if "\n" in text else text
