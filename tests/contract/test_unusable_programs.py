"""Programs that cannot be executed: every stage 1 says why, with the exit code of a shell."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person


def elf(machine: int, loader: bytes) -> bytes:
    """Return a 64-bit ELF file that has nothing but the name of its loader."""
    ident = b"\x7fELF\2\1\1" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    program = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1)
    return ident + header + program + loader


OWN = int.from_bytes(Path("/proc/self/exe").resolve().read_bytes()[18:20], "little")
PROGRAMS: dict[str, tuple[bytes, int, str]] = {
    "no-loader": (elf(OWN, b"/lib/ld-none.so\0"), 127, "its loader /lib/ld-none.so is not in the image"),
    "foreign": (elf(22, b"/lib/ld64.so.1\0"), 126, "it is a program for s390x, and this machine is "),
    "no-interpreter": (b"#!/usr/bin/perl\n", 127, "its interpreter /usr/bin/perl is not in the image"),
    "windows": (b"#!/bin/sh\r\necho\r\n", 127, "its lines end with CRLF; convert it with dos2unix"),
    "text": (b"echo hello\n", 126, "it is neither an ELF program nor a script that starts with #!"),
    "empty": (b"", 126, "it is empty"),
}


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        content = images.shell()
        content["bin/node"] = Entry("bin/node", "fifo", 0o755)
        for name, (data, _, _) in PROGRAMS.items():
            content[f"opt/{name}"] = data
        with Home(someone.home / "store") as home:
            images.make(home, [content], name="box:1")
        someone.give(someone.home)
        yield someone


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_reason_and_exit_code_are_those_of_the_file(person: Person, stage1: str, name: str) -> None:
    _, code, reason = PROGRAMS[name]
    options = ("--progress", "none", "--stage1", stage1, "--entrypoint", f"/opt/{name}")
    process = person.pumice("run", *options, "box:1")
    assert process.returncode == code, process.stderr
    assert process.stderr.startswith(f"error: /opt/{name}: ")
    assert reason in process.stderr
    hint = "  hint: see what is missing with 'pumice check REF'\n" if reason.endswith("image") else ""
    assert process.stderr.partition("\n")[2] == hint


def test_special_files_are_not_opened(person: Person, stage1: str) -> None:
    process = person.pumice("run", "--stage1", stage1, "--entrypoint", "/bin/node", "box:1")
    assert process.returncode == 126, process.stderr


def test_a_file_that_is_a_volume_can_be_the_program(person: Person, stage1: str) -> None:
    program = person.home / "tool"
    shutil.copy(str(shutil.which("busybox")), program)
    person.give(program)
    for target in ("/opt/new/echo", "/opt/empty"):
        process = person.pumice(
            *("run", "--stage1", stage1, "--volume", f"{program}:{target}", "--entrypoint", target),
            *("box:1", *(["echo"] if target == "/opt/empty" else []), "from a volume"),
        )
        if target == "/opt/new/echo":
            assert (process.stdout, process.returncode) == ("from a volume\n", 0), process.stderr
        else:  # busybox finds no applet of that name, so it ran
            assert "applet not found" in process.stderr
