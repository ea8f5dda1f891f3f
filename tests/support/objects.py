"""Tiny shared objects: just enough ELF for a loader cache."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def shared_object(soname: str = "", *, bits: int = 64, machine: int = 62, order: str = "<") -> bytes:
    """Return an ``ET_DYN`` file with a dynamic section, and a soname if one is given."""
    wide = bits == 64
    word_format = "Q" if wide else "I"
    header, row = (64, 56) if wide else (52, 32)
    strings = b"\0" + soname.encode() + b"\0"
    tags = [(14, 1)] if soname else []
    dynamic_at = header + 2 * row
    size = (len(tags) + 3) * struct.calcsize(order + 2 * word_format)
    strings_at = dynamic_at + size
    tags = [*tags, (5, strings_at), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack(order + 2 * word_format, *tag) for tag in tags)
    total = strings_at + len(strings)
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    fields = (3, machine, 1, 0, header, 0, 0, header, row, 2, 0, 0, 0)
    head = ident + struct.pack(order + f"HHI{word_format}{word_format}{word_format}IHHHHHH", *fields)
    return head + _rows(order, wide, total, dynamic_at, size) + dynamic + strings


def _rows(order: str, wide: bool, total: int, dynamic_at: int, size: int) -> bytes:
    if wide:
        load = struct.pack(order + "IIQQQQQQ", 1, 5, 0, 0, 0, total, total, 4096)
        return load + struct.pack(order + "IIQQQQQQ", 2, 6, dynamic_at, dynamic_at, dynamic_at, size, size, 8)
    load = struct.pack(order + "IIIIIIII", 1, 0, 0, 0, total, total, 5, 4096)
    return load + struct.pack(order + "IIIIIIII", 2, dynamic_at, dynamic_at, dynamic_at, size, size, 6, 4)


def program(
    needed: Sequence[str] = (),
    *,
    interpreter: str = "/lib64/ld-linux-x86-64.so.2",
    soname: str = "",
    runpath: str = "",
    symbols: Sequence[str] = (),
    dlopen: bytes = b"",
) -> bytes:
    """Return a 64-bit ELF file with the facts that the dynamic loader reads.

    ``symbols`` are names in its string table, ``dlopen`` is the JSON of a dlopen note.
    """
    strings = bytearray(b"\0")

    def place(text: str) -> int:
        offset = len(strings)
        strings.extend(text.encode() + b"\0")
        return offset

    tags = [(1, place(name)) for name in needed]
    tags += [(14, place(soname))] if soname else []
    tags += [(29, place(runpath))] if runpath else []
    for symbol in symbols:
        place(symbol)
    note = struct.pack("<III", 4, len(dlopen), 0x407C0C0A) + b"FDO\0" + dlopen if dlopen else b""
    headers = 64 + 56 * 4
    interpreter_bytes = interpreter.encode() + b"\0" if interpreter else b""
    note_at = headers + len(interpreter_bytes)
    dynamic_at = note_at + len(note)
    size = 16 * (len(tags) + 3)
    strings_at = dynamic_at + size
    tags += [(5, strings_at), (10, len(strings)), (0, 0)]
    total = strings_at + len(strings)
    head = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 4, 0, 0, 0)
    rows = (
        (1, 0, total),
        (2, dynamic_at, size),
        (3 if interpreter else 0, headers, len(interpreter_bytes)),
        (4 if note else 0, note_at, len(note)),
    )
    table = b"".join(
        struct.pack("<IIQQQQQQ", kind, 5, start, start, start, length, length, 4)
        for kind, start, length in rows
    )
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    return head + table + interpreter_bytes + note + dynamic + bytes(strings)
