"""Tiny shared objects: just enough ELF for a loader cache."""

from __future__ import annotations

import struct


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
