"""Shared objects in ELF files (System V ABI, gABI chapters 4 and 5), as needed for a loader cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.formats.elf_headers import ET_DYN, PT_DYNAMIC, read_elf_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.formats.elf_headers import ElfFile

_DT_STRTAB, _DT_SONAME = 5, 14
_MAX_DYNAMIC = 1 << 20
_MAX_NAME = 255


class SharedObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shared object: its machine (``e_machine``), class in bits and soname (empty if it has none)."""

    machine: int
    bits: int
    soname: str = ""


def read_shared_object(read_at: Callable[[int, int], bytes], size: int) -> SharedObject | None:
    """Return a shared object; None for any other and for a malformed file.

    ``read_at(offset, length)`` returns part of the file of ``size`` bytes. It is called for the header,
    the program headers, the dynamic section and the soname, for about 1 MiB at most.
    """
    file = read_elf_file(read_at, size)
    if file is None or file.kind != ET_DYN:
        return None
    soname = _read_soname(file)
    return None if soname is None else SharedObject(file.machine, file.bits, soname)


def _read_soname(file: ElfFile) -> str | None:
    """Return the soname, empty if the object has none, None if it is malformed."""
    dynamic = file.first_segment(PT_DYNAMIC)
    if dynamic is None or dynamic.size > _MAX_DYNAMIC or dynamic.offset + dynamic.size > file.size:
        return None
    tags = dict(file.dynamic_entries())
    if _DT_SONAME not in tags:
        return ""
    start = file.file_offset(tags[_DT_STRTAB] + tags[_DT_SONAME]) if _DT_STRTAB in tags else None
    if start is None or start >= file.size:
        return None
    text, end, _ = file.read_at(start, min(_MAX_NAME + 1, file.size - start)).partition(b"\0")
    try:
        return text.decode() if end and _is_file_name(text) else None
    except UnicodeDecodeError:
        return None


def _is_file_name(text: bytes) -> bool:
    return text not in (b"", b".", b"..") and b"/" not in text and min(text) > 0x20
