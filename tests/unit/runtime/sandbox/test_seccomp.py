from __future__ import annotations

import errno
import os
import re
import struct
import subprocess

import pytest

from pumice.runtime.sandbox import seccomp

ALLOW, REFUSE, UNKNOWN = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}


def judge(machine: str, number: int, first: int = 0, second: int = 0, architecture: int | None = None) -> int:
    """Execute the filter as the kernel does (classic BPF, the few instructions that it has)."""
    code = [
        struct.unpack_from("HBBI", seccomp.make_filter(machine), at)
        for at in range(0, len(seccomp.make_filter(machine)), 8)
    ]
    data = struct.pack("<iIQQQ", number, architecture or ARCHITECTURES[machine], 0, first, second)
    position = accumulator = 0
    while True:
        operation, on_true, on_false, constant = code[position]
        position += 1
        if operation == 0x20:
            accumulator = int.from_bytes(data[constant : constant + 4], "little")
        elif operation == 0x06:
            return int(constant)
        else:
            tests = {
                0x15: accumulator == constant,
                0x35: accumulator >= constant,
                0x45: accumulator & constant,
            }
            position += on_true if tests[operation] else on_false


def numbers(machine: str) -> dict[str, int]:
    column = 0 if machine == "x86_64" else 1
    denied = seccomp.list_denied_syscalls()
    return {name: number for name, row in denied.items() if (number := row[column]) is not None}


@pytest.mark.parametrize("machine", sorted(ARCHITECTURES))
def test_seccomp_filter_denies_the_listed_calls_only(machine: str) -> None:
    denied = set(numbers(machine).values())
    for number in range(seccomp.FIRST_UNKNOWN):
        if number in denied:
            assert judge(machine, number) == REFUSE
        elif number == 435:
            assert judge(machine, number) == UNKNOWN
        else:
            assert judge(machine, number) == ALLOW
    assert judge(machine, seccomp.FIRST_UNKNOWN) == UNKNOWN
    assert judge(machine, 0x40000000) == UNKNOWN  # x32
    assert judge(machine, 0, architecture=0x40000003) == UNKNOWN  # i386


@pytest.mark.parametrize(("machine", "clone", "ioctl"), [("x86_64", 56, 16), ("aarch64", 220, 29)])
def test_the_filter_denies_flags_of_clone_and_requests_of_ioctl(machine: str, clone: int, ioctl: int) -> None:
    assert judge(machine, clone, first=0x01200011) == ALLOW  # fork
    assert judge(machine, clone, first=0x3D0F00) == ALLOW  # pthread_create
    for flag in seccomp.DENIED_CLONE_FLAGS:
        assert judge(machine, clone, first=flag | 17) == REFUSE
    assert judge(machine, ioctl, second=0x5401) == ALLOW  # TCGETS
    assert judge(machine, ioctl, second=0x5412) == REFUSE
    assert judge(machine, ioctl, second=0x541C) == REFUSE
    assert judge(machine, ioctl, second=0x1_0000_5412) == REFUSE  # the kernel looks at 32 bits too


@pytest.mark.parametrize(
    ("machine", "header"),
    [("x86_64", "asm/unistd_64.h"), ("aarch64", "asm-generic/unistd.h")],
)
def test_system_call_numbers_equal_those_of_the_kernel_headers(machine: str, header: str) -> None:
    if os.uname().machine != "x86_64" and machine == "x86_64":
        pytest.skip("the headers of another architecture")
    text = f"#define __BITS_PER_LONG 64\n#include <{header}>\n"
    try:
        macros = subprocess.run(
            ["gcc", "-E", "-dM", "-"], input=text, text=True, capture_output=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there are no kernel headers")
    header_numbers = {
        name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", macros)
    }
    assert numbers(machine).items() <= (numbers(machine) | header_numbers).items()
    assert sum(name in header_numbers for name in numbers(machine)) > 45


def test_machines_without_a_table_have_no_filter() -> None:
    assert seccomp.make_filter("vax") == b""
