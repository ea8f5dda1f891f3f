"""Programs of system calls, which run on this machine as well."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from pumice.runtime.guest.machine_code import Assembler, Value, address_of
from pumice.runtime.guest.session_parts import store_decimal
from pumice.runtime.guest.system_calls import EXECVE, EXIT, FORK, PIPE2, READ, WAIT4, WRITE

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the programs are for x86-64")


def run(program: Assembler, folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    path = folder / "program"
    path.write_bytes(program.finish())
    path.chmod(0o755)
    return subprocess.run([str(path)], input=text, capture_output=True, text=True, timeout=60, check=False)


def test_calls_have_arguments_and_results(tmp_path: Path) -> None:
    program = Assembler()
    count = program.variable()
    program.call(WRITE, 1, program.text("hello\n"), 6, result=count)
    program.compare(count, 6)
    program.jump_if_zero("six")
    program.call(EXIT, 1)
    program.mark("six")
    program.call(EXIT, count)
    process = run(program, tmp_path)
    assert (process.stdout, process.returncode) == ("hello\n", 6)


def test_a_child_is_waited_for_and_a_program_executed(tmp_path: Path) -> None:
    program = Assembler()
    status = program.variable()
    program.call(FORK)
    program.jump_if_zero("child")
    program.call(WAIT4, -1, address_of(status), 0, 0)
    program.compare(status, 7 << 8)
    program.jump_if_zero("good")
    program.call(EXIT, 1)
    program.mark("good")
    words = [program.text(word) for word in ("sh", "-c", "echo $A; exit 5")]
    program.call(
        EXECVE, program.text("/bin/sh"), program.pointers(words), program.pointers([program.text("A=b")])
    )
    program.call(EXIT, 2)
    program.mark("child")
    program.call(EXIT, 7)
    process = run(program, tmp_path)
    assert (process.stdout, process.returncode) == ("b\n", 5)


def test_narrow_values_and_sums_serve_for_a_loop_that_copies(tmp_path: Path) -> None:
    program = Assembler()
    pair, buffer, count, left = (program.variable(size) for size in (8, 4096, 8, 8))
    program.call(PIPE2, address_of(pair), 0)
    program.call(READ, 0, address_of(buffer), 4096, result=count)
    program.call(WRITE, Value(pair.offset + 4, narrow=True), address_of(buffer), count)
    program.set(left, 3)
    program.mark("again")
    program.call(READ, Value(pair.offset, narrow=True), address_of(buffer, 100), 1)
    program.call(WRITE, 1, address_of(buffer, 100), 1)
    program.subtract(left, 1)
    program.jump_if_not_zero("again")
    program.add(count, 1)
    program.call(EXIT, count)
    process = run(program, tmp_path, "abcdef")
    assert (process.stdout, process.returncode) == ("abc", 7)


def test_an_error_is_a_negative_result(tmp_path: Path) -> None:
    program = Assembler()
    program.call(WRITE, 99, 0, 1)
    program.jump_if_negative("failed")
    program.call(EXIT, 1)
    program.mark("failed")
    program.call(EXIT, 9)
    assert run(program, tmp_path).returncode == 9


@pytest.mark.parametrize("number", [0, 7, 10, 4_194_303])
def test_a_number_is_written_in_decimal(tmp_path: Path, number: int) -> None:
    program = Assembler()
    value, text = program.variable(), program.variable()
    program.set(value, number)
    store_decimal(program, value, text)
    program.call(WRITE, 1, address_of(text), 8)
    program.call(EXIT, 0)
    assert run(program, tmp_path).stdout.rstrip("\0") == str(number)
