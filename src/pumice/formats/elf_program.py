"""What the dynamic loader reads in an ELF file: interpreter, needed libraries, search paths, dlopen notes.

Sources: System V ABI, gABI chapters 4 and 5; ld.so(8); "ELF Package Metadata: dlopen metadata" of the
UAPI group for the notes.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.elf_headers import PT_INTERP, PT_NOTE, read_elf_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.formats.elf_headers import ElfFile

_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29
_DLOPEN_NOTE = 0x407C0C0A
_DLOPEN_OWNER = b"FDO\0"

_MAX_STRINGS = 16 << 20
_MAX_NOTES = 1 << 20
_MAX_PATH = 4096
_MAX_NEEDED = 4096


class DlopenNote(msgspec.Struct, frozen=True):
    """A library that a program loads while it runs: alternative sonames, any of which will do."""

    sonames: tuple[str, ...]
    is_required: bool = False
    """Whether the program does not work without it (priority ``required``)."""


class ElfProgram(msgspec.Struct, frozen=True, kw_only=True):
    """The dynamic linking facts of an executable or a shared object.

    ``search_path`` is ``DT_RUNPATH``, or ``DT_RPATH`` if there is none, split at colons and with ``$ORIGIN``
    as it is in the file. ``strings`` is the string table of its dynamic symbols.
    """

    machine: int
    bits: int
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    soname: str = ""
    search_path: tuple[str, ...] = ()
    dlopen: tuple[DlopenNote, ...] = ()
    strings: bytes = b""

    def imports(self, name: str) -> bool:
        """Whether the dynamic symbols include ``name``."""
        return f"\0{name}\0".encode() in self.strings


def read_program(read_at: Callable[[int, int], bytes], size: int) -> ElfProgram | None:
    """Return the facts of an ELF file of ``size`` bytes; None for any other file.

    ``read_at(offset, length)`` returns a part of the file. What is malformed in the file is left out.
    """
    file = read_elf_file(read_at, size)
    if file is None:
        return None
    tags: dict[int, list[int]] = {}
    for tag, value in file.dynamic_entries():
        tags.setdefault(tag, []).append(value)
    strings = _read_strings(file, tags)
    names = [_text_at(strings, offset) for offset in tags.get(_DT_NEEDED, ())[:_MAX_NEEDED]]
    paths = tags.get(_DT_RUNPATH) or tags.get(_DT_RPATH) or []
    search_path = _text_at(strings, paths[0]) if paths else ""
    soname = _text_at(strings, tags[_DT_SONAME][0]) if tags.get(_DT_SONAME) else ""
    return ElfProgram(
        machine=file.machine,
        bits=file.bits,
        interpreter=_read_interpreter(file),
        needed=tuple(name for name in names if name),
        soname=soname,
        search_path=tuple(path for path in search_path.split(":") if path),
        dlopen=tuple(_read_dlopen_notes(file)),
        strings=strings,
    )


def _read_strings(file: ElfFile, tags: dict[int, list[int]]) -> bytes:
    if not tags.get(_DT_STRTAB) or not tags.get(_DT_STRSZ):
        return b""
    offset = file.file_offset(tags[_DT_STRTAB][0])
    if offset is None:
        return b""
    return file.read(offset, min(tags[_DT_STRSZ][0], file.size - offset), _MAX_STRINGS)


def _text_at(strings: bytes, offset: int) -> str:
    end = strings.find(b"\0", offset) if offset < len(strings) else -1
    if end < 0 or end - offset > _MAX_PATH:
        return ""
    return strings[offset:end].decode("utf-8", "replace")


def _read_interpreter(file: ElfFile) -> str:
    segment = file.first_segment(PT_INTERP)
    if segment is None:
        return ""
    return file.read(segment.offset, segment.size, _MAX_PATH).partition(b"\0")[0].decode("utf-8", "replace")


def _read_dlopen_notes(file: ElfFile) -> Iterator[DlopenNote]:
    for segment in file.segments:
        if segment.kind == PT_NOTE:
            yield from _parse_notes(file.read(segment.offset, segment.size, _MAX_NOTES), file.order)


def _parse_notes(data: bytes, order: str) -> Iterator[DlopenNote]:
    """Yield the dlopen notes among notes that are aligned to four bytes."""
    position = 0
    while position + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, position)
        start = position + 12 + (name_size + 3 & ~3)
        if kind == _DLOPEN_NOTE and data[position + 12 : position + 12 + name_size] == _DLOPEN_OWNER:
            yield from _parse_dlopen(data[start : start + size])
        position = start + (size + 3 & ~3)


def _parse_dlopen(text: bytes) -> Iterator[DlopenNote]:
    try:
        rows = json.loads(text.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return
    for row in rows if isinstance(rows, list) else ():
        names = row.get("soname") if isinstance(row, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            yield DlopenNote(tuple(names), row.get("priority") == "required")
