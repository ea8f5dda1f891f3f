"""Shared objects in ELF files (System V ABI, gABI chapters 4 and 5), as needed for a loader cache."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

_ET_DYN = 3
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NULL, _DT_STRTAB, _DT_SONAME = 0, 5, 14

_MAX_SEGMENTS = 512
_MAX_DYNAMIC = 1 << 20
_MAX_NAME = 255


class SharedObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shared object: its machine (``e_machine``), class in bits and soname (empty if it has none)."""

    machine: int
    bits: int
    soname: str = ""


class _Layout(msgspec.Struct, frozen=True):
    """The byte order and class of a file."""

    order: str
    bits: int

    @property
    def word(self) -> str:
        return "Q" if self.bits == 64 else "I"


def read_shared_object(read_at: Callable[[int, int], bytes], size: int) -> SharedObject | None:
    """Return a shared object; None for any other and for a malformed file.

    ``read_at(offset, length)`` returns part of the file of ``size`` bytes. It is called for the header,
    the program headers, the dynamic section and the soname, for about 1 MiB at most.
    """
    header = read_at(0, 64) if size >= 52 else b""
    if header[:4] != b"\x7fELF" or header[4] not in (1, 2) or header[5] not in (1, 2):
        return None
    layout = _Layout("<" if header[5] == 1 else ">", 32 * header[4])
    kind, machine = struct.unpack_from(layout.order + "HH", header, 16)
    if kind != _ET_DYN:
        return None
    segments = _read_segments(header, layout, read_at, size)
    dynamic = next((segment for segment in segments if segment[0] == _PT_DYNAMIC), None)
    if dynamic is None:
        return None
    soname = _read_soname(dynamic, segments, layout, read_at, size)
    return None if soname is None else SharedObject(machine, layout.bits, soname)


_Segment = tuple[int, int, int, int]  # type, offset in the file, address, length in the file


def _read_segments(
    header: bytes, layout: _Layout, read_at: Callable[[int, int], bytes], size: int
) -> list[_Segment]:
    if layout.bits == 64:
        if len(header) < 64:
            return []
        (offset,) = struct.unpack_from(layout.order + "Q", header, 32)
        width, count = struct.unpack_from(layout.order + "HH", header, 54)
        header_format, min_width = struct.Struct(layout.order + "IIQQQQ"), 56
    else:
        (offset,) = struct.unpack_from(layout.order + "I", header, 28)
        width, count = struct.unpack_from(layout.order + "HH", header, 42)
        header_format, min_width = struct.Struct(layout.order + "IIIII"), 32
    if not min_width <= width <= 256 or not 0 < count <= _MAX_SEGMENTS or offset + width * count > size:
        return []
    table = read_at(offset, width * count)
    if len(table) != width * count:
        return []
    segments: list[_Segment] = []
    for start in range(0, len(table), width):
        fields = header_format.unpack_from(table, start)
        kind, offset_in_file, address, length = (
            (fields[0], fields[2], fields[3], fields[5])
            if layout.bits == 64
            else (fields[0], fields[1], fields[2], fields[4])
        )
        if kind in (_PT_LOAD, _PT_DYNAMIC):
            segments.append((kind, offset_in_file, address, length))
    return segments


def _read_soname(
    dynamic: _Segment,
    segments: list[_Segment],
    layout: _Layout,
    read_at: Callable[[int, int], bytes],
    size: int,
) -> str | None:
    """Return the soname, empty if the object has none, None if it is malformed."""
    _, offset, _, length = dynamic
    if length > _MAX_DYNAMIC or offset + length > size:
        return None
    data = read_at(offset, length)
    pair = struct.Struct(layout.order + 2 * layout.word)
    table: int | None = None
    name: int | None = None
    for tag, value in pair.iter_unpack(data[: len(data) // pair.size * pair.size]):
        if tag == _DT_NULL:
            break
        if tag == _DT_STRTAB:
            table = value
        elif tag == _DT_SONAME:
            name = value
    if name is None:
        return ""
    start = None if table is None else _to_file_offset(table + name, segments)
    if start is None or start >= size:
        return None
    text, end, _ = read_at(start, min(_MAX_NAME + 1, size - start)).partition(b"\0")
    try:
        return text.decode() if end and _is_file_name(text) else None
    except UnicodeDecodeError:
        return None


def _is_file_name(text: bytes) -> bool:
    return text not in (b"", b".", b"..") and b"/" not in text and min(text) > 0x20


def _to_file_offset(address: int, segments: list[_Segment]) -> int | None:
    for kind, offset, start, length in segments:
        if kind == _PT_LOAD and start <= address < start + length:
            return address - start + offset
    return None
