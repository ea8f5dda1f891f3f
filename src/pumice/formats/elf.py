"""The few facts of an ELF file (System V ABI, gABI chapters 4 and 5) that a loader cache needs."""

from __future__ import annotations

import msgspec


class Elf(msgspec.Struct, frozen=True, omit_defaults=True):
    """A shared object: its machine (``e_machine``), class in bits and soname (empty: none)."""

    machine: int
    bits: int
    soname: str = ""
