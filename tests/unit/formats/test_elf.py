from __future__ import annotations

from pathlib import Path

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from pumice.formats import elf
from pumice.formats.elf import SharedObject
from tests.support.objects import shared_object
from tests.support.peers import absent


def identify(data: bytes) -> SharedObject | None:
    return elf.read_shared_object(lambda offset, length: data[offset : offset + length], len(data))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [32, 64])
def test_reads_machine_class_and_soname(bits: int, order: str) -> None:
    data = shared_object("libx.so.1", bits=bits, machine=40, order=order)
    assert identify(data) == SharedObject(40, bits, "libx.so.1")
    assert identify(shared_object(bits=bits, machine=3, order=order)) == SharedObject(3, bits)


def test_other_files_are_not_shared_objects() -> None:
    program = bytearray(shared_object("libx.so.1"))
    program[16] = 2  # ET_EXEC
    for data in (b"", b"\x7fELF", b"INPUT(libc.so.6)\n" * 10, bytes(program), shared_object("a/b")):
        assert identify(data) is None


@given(st.binary(max_size=400))
def test_any_bytes_return_a_result(data: bytes) -> None:
    identify(data)
    identify(b"\x7fELF" + data)


@given(st.data())
def test_any_damage_returns_a_result(data: st.DataObject) -> None:
    object_bytes = bytearray(shared_object("libx.so.1", bits=data.draw(st.sampled_from([32, 64]))))
    for _ in range(data.draw(st.integers(1, 8))):
        object_bytes[data.draw(st.integers(0, len(object_bytes) - 1))] = data.draw(st.integers(0, 255))
    identified = identify(bytes(object_bytes[: data.draw(st.integers(0, len(object_bytes)))]))
    assert identified is None or "/" not in identified.soname


def test_reads_only_a_small_part_of_a_large_file() -> None:
    data = shared_object("libx.so.1")
    reads: list[int] = []

    def read(offset: int, length: int) -> bytes:
        reads.append(length)
        return data[offset : offset + length]

    assert elf.read_shared_object(read, 1 << 40) == SharedObject(62, 64, "libx.so.1")
    assert sum(reads) < 1 << 20


def test_agrees_with_pyelftools_on_local_libraries() -> None:
    checked = 0
    for path in sorted(Path("/usr/lib").glob("*/*.so*"))[:300]:
        data = path.read_bytes() if path.is_file() else b""
        if not data.startswith(b"\x7fELF"):
            continue
        assert identify(data) == _expected(path), path
        checked += 1
    if not checked:
        absent("this machine has no libraries in /usr/lib")


def _expected(path: Path) -> SharedObject | None:
    with path.open("rb") as file:
        try:
            parsed = ELFFile(file)
        except ELFError:
            return None
        dynamic = next(
            (section for section in parsed.iter_segments() if isinstance(section, DynamicSegment)), None
        )
        if parsed["e_type"] != "ET_DYN" or dynamic is None:
            return None
        names: list[str] = [tag.soname for tag in dynamic.iter_tags("DT_SONAME")]  # type: ignore[attr-defined]  # added to tags at run time
        machine = int.from_bytes(path.read_bytes()[18:20], "little")
        return SharedObject(machine, parsed.elfclass, names[0] if names else "")
