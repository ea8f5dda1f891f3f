from __future__ import annotations

from pathlib import Path

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment
from hypothesis import given
from hypothesis import strategies as st

from pumice.formats.elf_program import DlopenNote, ElfProgram, read_program
from tests.support.objects import program, shared_object
from tests.support.peers import absent


def read(data: bytes) -> ElfProgram | None:
    return read_program(lambda offset, length: data[offset : offset + length], len(data))


def test_reads_what_the_loader_reads() -> None:
    note = b'[{"soname": ["libz.so.2", "libz.so.1"], "priority": "required"}, {"soname": ["libx.so"]}]\0'
    data = program(
        ["libc.so.6", "libm.so.6"],
        soname="liba.so.1",
        runpath="$ORIGIN/../lib:/opt/lib",
        symbols=["system"],
        dlopen=note,
    )
    facts = read(data)
    assert facts is not None
    assert (facts.machine, facts.bits) == (62, 64)
    assert facts.interpreter == "/lib64/ld-linux-x86-64.so.2"
    assert facts.needed == ("libc.so.6", "libm.so.6")
    assert facts.soname == "liba.so.1"
    assert facts.search_path == ("$ORIGIN/../lib", "/opt/lib")
    assert facts.dlopen == (
        DlopenNote(("libz.so.2", "libz.so.1"), is_required=True),
        DlopenNote(("libx.so",)),
    )
    assert facts.imports("system")
    assert not facts.imports("popen")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [32, 64])
def test_reads_both_classes_and_byte_orders(bits: int, order: str) -> None:
    facts = read(shared_object("libx.so.1", bits=bits, machine=40, order=order))
    assert facts is not None
    assert (facts.machine, facts.bits, facts.soname) == (40, bits, "libx.so.1")


def test_other_files_are_no_programs() -> None:
    for data in (b"", b"\x7fELF", b"#!/bin/sh\n" * 20, b"\x7fELF\x03" + bytes(100)):
        assert read(data) is None


@pytest.mark.parametrize(
    "note", [b"[", b"[1]", b"{}", b"[" * 10000, b'[{"soname": "a"}]', b'[{"soname": [1]}]']
)
def test_malformed_notes_are_left_out(note: bytes) -> None:
    facts = read(program(dlopen=note))
    assert facts is not None
    assert facts.dlopen == ()


@given(st.data())
def test_any_damage_returns_a_result(data: st.DataObject) -> None:
    content = bytearray(program(["libc.so.6"], dlopen=b'[{"soname": ["a"]}]', runpath="/x"))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    read(bytes(content[: data.draw(st.integers(0, len(content)))]))


def test_agrees_with_pyelftools_on_local_programs() -> None:
    checked = 0
    for path in sorted(Path("/usr/bin").iterdir())[:150]:
        data = path.read_bytes() if path.is_file() else b""
        if not data.startswith(b"\x7fELF"):
            continue
        facts = read(data)
        assert facts is not None
        assert (facts.interpreter, facts.needed) == _expected(path), path
        checked += 1
    if not checked:
        absent("this machine has no programs in /usr/bin")


def _expected(path: Path) -> tuple[str, tuple[str, ...]]:
    with path.open("rb") as file:
        try:
            parsed = ELFFile(file)
        except ELFError:
            return "", ()
        interpreters = [s.get_interp_name() for s in parsed.iter_segments() if isinstance(s, InterpSegment)]
        tags = [
            str(tag.needed)  # type: ignore[attr-defined]  # pyelftools adds it for this tag
            for section in parsed.iter_sections()
            if isinstance(section, DynamicSection)
            for tag in section.iter_tags("DT_NEEDED")
        ]
        return (interpreters or [""])[0], tuple(tags)
