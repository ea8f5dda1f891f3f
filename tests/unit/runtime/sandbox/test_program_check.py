from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.runtime.sandbox.program_check import HEAD, explain_failure, read_machine


def elf(
    machine: int = 62, loader: bytes = b"/lib64/ld.so\0", *, wide: bool = True, order: str = "<"
) -> bytes:
    """Return the head of an ELF file with one program header, PT_INTERP."""
    loader = b"/lib64/ld.so\0"
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    if wide:
        header = struct.pack(f"{order}HHIQQQIHHHHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        program = struct.pack(f"{order}IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1)
    else:
        header = struct.pack(f"{order}HHIIIIIHHHHHH", 2, machine, 1, 0, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        program = struct.pack(f"{order}IIIIIIII", 3, 84, 0, 0, len(loader), len(loader), 4, 1)
    return ident + header + program + loader


CASES = {
    "loader": (elf(), "its loader /lib64/ld.so is not in the image"),
    "machine": (elf(183), "it is a program for aarch64, and this machine is x86_64"),
    "big endian": (elf(22, order=">"), "it is a program for s390x, and this machine is x86_64"),
    "32 bits": (elf(3, wide=False), "it is a program for i386, and this machine is x86_64"),
    "unknown machine": (elf(999), "it is a program for machine 999, and this machine is x86_64"),
    "cut": (elf()[:30], "it is a damaged ELF file"),
    "interpreter": (b"#!/usr/bin/perl -w\n", "its interpreter /usr/bin/perl is not in the image"),
    "line ends": (b"#!/bin/sh\r\necho\r\n", "its lines end with CRLF; convert it with dos2unix"),
    "no interpreter": (b"#!  \n", "its first line #! names no interpreter"),
    "text": (b"echo hello\n", "it is neither an ELF program nor a script that starts with #!"),
    "empty": (b"", "it is empty"),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_reason_is_named(name: str) -> None:
    head, reason = CASES[name]
    assert explain_failure(head, "x86_64", lambda path: path == "/bin/sh") == reason


def test_usable_programs_have_no_reason() -> None:
    assert explain_failure(elf(), "x86_64", lambda _: True) == ""
    assert explain_failure(elf(40, wide=False), "arm", lambda _: True) == ""
    assert explain_failure(b"#! /bin/sh -e\n", "x86_64", lambda path: path == "/bin/sh") == ""
    own = Path("/proc/self/exe").resolve().read_bytes()[:HEAD]
    assert explain_failure(own, read_machine(own), lambda path: Path(path).exists()) == ""


@given(st.binary(max_size=300).map(lambda data: b"\x7fELF" + data) | st.binary(max_size=100))
def test_any_bytes_are_explained(head: bytes) -> None:
    assert len(explain_failure(head, "x86_64", lambda _: False)) < 400
