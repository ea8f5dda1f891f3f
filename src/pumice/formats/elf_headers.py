"""The headers of an ELF file and its dynamic section (System V ABI, gABI chapters 4 and 5)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ET_DYN = 3
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4

_MAX_SEGMENTS = 512
_MAX_DYNAMIC = 1 << 20


class Segment(msgspec.Struct, frozen=True):
    """A program header: type, position in the file, address and size in bytes."""

    kind: int
    offset: int
    address: int
    size: int


class ElfFile(msgspec.Struct, frozen=True):
    """An ELF file that is read in parts; ``order`` is that of `struct`, ``kind`` is ``e_type``."""

    read_at: Callable[[int, int], bytes]
    size: int
    order: str
    bits: int
    kind: int
    machine: int
    segments: tuple[Segment, ...] = ()
    """The program headers, none if they are malformed."""

    def read(self, offset: int, size: int, limit: int) -> bytes:
        """Return ``size`` bytes at ``offset``, nothing if they are outside the file or above the limit."""
        if size > limit or offset < 0 or offset + size > self.size:
            return b""
        return self.read_at(offset, size)

    def first_segment(self, kind: int) -> Segment | None:
        """Return the first segment of a type."""
        return next((segment for segment in self.segments if segment.kind == kind), None)

    def file_offset(self, address: int) -> int | None:
        """Return the position in the file of an address in memory; None if no segment loads it."""
        for segment in self.segments:
            if segment.kind == PT_LOAD and segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        return None

    def dynamic_entries(self) -> Iterator[tuple[int, int]]:
        """Yield the tags and values of the dynamic section, up to ``DT_NULL``; none if it is malformed."""
        dynamic = self.first_segment(PT_DYNAMIC)
        if dynamic is None:
            return
        data = self.read(dynamic.offset, dynamic.size, _MAX_DYNAMIC)
        pair = struct.Struct(self.order + ("QQ" if self.bits == 64 else "II"))
        for tag, value in pair.iter_unpack(data[: len(data) // pair.size * pair.size]):
            if tag == 0:
                return
            yield tag, value


def read_elf_file(read_at: Callable[[int, int], bytes], size: int) -> ElfFile | None:
    """Return the headers of an ELF file of ``size`` bytes; None for any other file.

    ``read_at(offset, length)`` returns a part of the file.
    """
    head = read_at(0, 64) if size >= 52 else b""
    if head[:4] != b"\x7fELF" or head[4] not in (1, 2) or head[5] not in (1, 2):
        return None
    order, bits = "<" if head[5] == 1 else ">", 32 * head[4]
    kind, machine = struct.unpack_from(order + "HH", head, 16)
    file = ElfFile(read_at, size, order, bits, kind, machine)
    return msgspec.structs.replace(file, segments=tuple(_read_segments(file, head)))


def _read_segments(file: ElfFile, head: bytes) -> Iterator[Segment]:
    if file.bits == 64:
        if len(head) < 64:
            return
        (offset,) = struct.unpack_from(file.order + "Q", head, 32)
        width, count = struct.unpack_from(file.order + "HH", head, 54)
        row, positions = struct.Struct(file.order + "IIQQQQ"), (0, 2, 3, 5)
    else:
        (offset,) = struct.unpack_from(file.order + "I", head, 28)
        width, count = struct.unpack_from(file.order + "HH", head, 42)
        row, positions = struct.Struct(file.order + "IIIII"), (0, 1, 2, 4)
    if not row.size <= width <= 256 or not 0 < count <= _MAX_SEGMENTS:
        return
    table = file.read(offset, width * count, _MAX_SEGMENTS * 256)
    for start in range(0, len(table) - row.size + 1, width):
        fields = row.unpack_from(table, start)
        yield Segment(*(fields[position] for position in positions))
