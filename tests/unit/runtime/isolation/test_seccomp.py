from __future__ import annotations

import errno
import json
import os
import re
import struct
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pumice.errors import UsageError
from pumice.runtime.isolation import seccomp_filter, seccomp_profile
from pumice.runtime.isolation.model import DEFAULT_CAPABILITIES, Isolation

ALLOW, REFUSE, UNKNOWN = 0x7FFF0000, 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
CLONE_FLAGS = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
DANGEROUS = """
acct add_key bpf chroot clock_adjtime clock_settime delete_module fanotify_init finit_module fsconfig fsmount
fsopen fspick init_module io_uring_enter io_uring_register io_uring_setup kcmp kexec_file_load kexec_load
keyctl lookup_dcookie mount mount_setattr move_mount nfsservctl open_by_handle_at open_tree perf_event_open
pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot
request_key setdomainname sethostname setns settimeofday swapoff swapon syslog umount2 unshare userfaultfd
vhangup
"""


def compiled(
    machine: str, capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES, data: bytes | None = None
) -> bytes:
    text = data or seccomp_profile.read_profile("default")
    profile = seccomp_profile.resolve_profile(text, capabilities, machine, "profile.json")
    return seccomp_filter.compile_filter(profile, machine)


def judge(program: bytes, machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Execute the filter as the kernel does (classic BPF, the few instructions that it has)."""
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    values = [*arguments, *[0] * 6][:6]
    data = struct.pack("<iIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *values)
    position = accumulator = 0
    while True:
        operation, on_true, on_false, constant = code[position]
        position += 1
        if operation == 0x20:
            accumulator = int.from_bytes(data[constant : constant + 4], "little")
        elif operation == 0x54:
            accumulator &= constant
        elif operation == 0x05:
            position += constant
        elif operation == 0x06:
            return int(constant)
        else:
            tests = {
                0x15: accumulator == constant,
                0x25: accumulator > constant,
                0x35: accumulator >= constant,
            }
            position += on_true if tests[operation] else on_false


@pytest.mark.parametrize("machine", sorted(ARCHITECTURES))
def test_default_profile_refuses_dangerous_calls_and_allows_ordinary_ones(machine: str) -> None:
    program, numbers = compiled(machine), seccomp_profile.read_numbers(machine)
    for name in DANGEROUS.split():
        assert judge(program, machine, numbers[name]) == REFUSE, name
    for name in ("read", "openat", "execve", "futex", "socketpair", "clock_gettime", "prctl", "setresuid"):
        assert judge(program, machine, numbers[name]) == ALLOW, name
    assert judge(program, machine, 5000) == UNKNOWN
    assert judge(program, machine, 0x40000000) == UNKNOWN  # x32
    assert judge(program, machine, 0, architecture=0x40000003) == UNKNOWN  # i386


@pytest.mark.parametrize("machine", sorted(ARCHITECTURES))
def test_filter_agrees_with_the_profile_for_every_call(machine: str) -> None:
    numbers = seccomp_profile.read_numbers(machine)
    for capabilities in (DEFAULT_CAPABILITIES, (), ("SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT")):
        text = seccomp_profile.read_profile("default")
        profile = seccomp_profile.resolve_profile(text, capabilities, machine, "profile.json")
        program = seccomp_filter.compile_filter(profile, machine)
        for name, number in numbers.items():
            rules = [rule for rule in profile.rules if name in rule.names]
            if any(rule.conditions for rule in rules):
                continue
            action, error = (rules[0].action, rules[0].error) if rules else (profile.action, profile.error)
            expected = ALLOW if action == "SCMP_ACT_ALLOW" else 0x50000 | error
            assert judge(program, machine, number) == expected, name


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_conditions_on_arguments_are_enforced(machine: str) -> None:
    program, numbers = compiled(machine), seccomp_profile.read_numbers(machine)
    clone, ioctl, personality = numbers["clone"], numbers["ioctl"], numbers["personality"]
    assert judge(program, machine, clone, 0x01200011) == ALLOW  # fork
    assert judge(program, machine, clone, 0x3D0F00) == ALLOW  # pthread_create
    for flag in CLONE_FLAGS:
        assert judge(program, machine, clone, flag | 17) == REFUSE
    assert judge(program, machine, numbers["clone3"]) == UNKNOWN
    assert judge(program, machine, ioctl, 0, 0x5401) == ALLOW  # TCGETS
    assert judge(program, machine, ioctl, 0, 0x5412) == REFUSE  # TIOCSTI
    assert judge(program, machine, ioctl, 0, 0x541C) == REFUSE  # TIOCLINUX
    assert judge(program, machine, ioctl, 0, 0x1_0000_5412) == REFUSE  # the kernel looks at 32 bits too
    assert judge(program, machine, personality, 0xFFFFFFFF) == ALLOW
    assert judge(program, machine, personality, 0x0040000) == REFUSE  # ADDR_NO_RANDOMIZE
    assert judge(program, machine, numbers["socket"], 16, 3, 9) == 0x50000 | errno.EINVAL  # audit


def test_capabilities_open_the_calls_that_need_them() -> None:
    numbers = seccomp_profile.read_numbers("x86_64")
    program = compiled("x86_64", ("SYS_CHROOT", "SYS_ADMIN"))
    for name in ("chroot", "mount", "unshare", "clone3", "setns"):
        assert judge(program, "x86_64", numbers[name]) == ALLOW, name
    assert judge(program, "x86_64", numbers["clone"], 0x10000000) == ALLOW
    assert judge(program, "x86_64", numbers["ptrace"]) == REFUSE


OPERATORS: dict[str, Any] = {
    "SCMP_CMP_NE": lambda argument, value: argument != value,
    "SCMP_CMP_LT": lambda argument, value: argument < value,
    "SCMP_CMP_LE": lambda argument, value: argument <= value,
    "SCMP_CMP_EQ": lambda argument, value: argument == value,
    "SCMP_CMP_GE": lambda argument, value: argument >= value,
    "SCMP_CMP_GT": lambda argument, value: argument > value,
}


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_arguments_are_compared_with_64_bits(operator: str) -> None:
    interesting = [0, 1, 5, 6, 0xFFFFFFFF, 1 << 32, (1 << 32) + 5, (5 << 32) + 1, (1 << 64) - 1]
    for value in interesting:
        rule = {
            "names": ["read"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 1, "value": value, "op": operator}],
        }
        text = json.dumps({"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [rule]}).encode()
        program = compiled("x86_64", (), text)
        for argument in interesting:
            expected = ALLOW if OPERATORS[operator](argument, value) else 0x80000000
            assert judge(program, "x86_64", 0, 7, argument) == expected, (operator, argument, value)


INVALID = {
    "not JSON": b"x",
    "no default": b"{}",
    "unknown action": b'{"defaultAction": "SCMP_ACT_NOTIFY"}',
    "unknown operator": b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action":'
    b' "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "LIKE"}]}]}',
    "index": b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action":'
    b' "SCMP_ACT_ALLOW", "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}',
    "large value": b'{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action":'
    b' "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 99999999999999999999, "op": "SCMP_CMP_EQ"}]}]}',
    "error number": b'{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 70000}',
}


@pytest.mark.parametrize("name", sorted(INVALID))
def test_invalid_profiles_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="invalid seccomp profile"):
        compiled("x86_64", (), INVALID[name])


def test_podmans_own_profile_can_be_compiled() -> None:
    path = Path("/usr/share/containers/seccomp.json")
    if not path.exists():
        pytest.skip("podman is not installed")
    numbers = seccomp_profile.read_numbers("x86_64")
    program = compiled("x86_64", DEFAULT_CAPABILITIES, path.read_bytes())
    assert judge(program, "x86_64", numbers["read"]) == ALLOW
    assert judge(program, "x86_64", numbers["kexec_load"]) == REFUSE
    assert judge(program, "x86_64", numbers["open_by_handle_at"]) == REFUSE


def test_default_profile_allows_no_call_that_podmans_refuses() -> None:
    path = Path("/usr/share/containers/seccomp.json")
    if not path.exists():
        pytest.skip("podman is not installed")
    newer = {
        "cachestat",
        "fchmodat2",
        "map_shadow_stack",
        "futex_wake",
        "futex_wait",
        "futex_waitv",
        "futex_requeue",
        "mseal",
        "setxattrat",
        "getxattrat",
        "listxattrat",
        "removexattrat",
        "statmount",
        "listmount",
        "lsm_get_self_attr",
        "lsm_list_modules",
    }
    own, podman = compiled("x86_64"), compiled("x86_64", DEFAULT_CAPABILITIES, path.read_bytes())
    for name, number in seccomp_profile.read_numbers("x86_64").items():
        if judge(own, "x86_64", number) == ALLOW and name not in newer:
            assert judge(podman, "x86_64", number) == ALLOW, name


def test_filters_are_kept_by_profile_and_capabilities(tmp_path: Path) -> None:
    cache = tmp_path / "seccomp"
    program = seccomp_filter.load_filter(Isolation(), cache)
    assert program
    assert [path.read_bytes() for path in cache.iterdir()] == [program]
    assert seccomp_filter.load_filter(Isolation(), cache) == program
    other = seccomp_filter.load_filter(Isolation(capabilities=("SYS_ADMIN",)), cache)
    assert other != program
    assert len(list(cache.iterdir())) == 2
    assert seccomp_filter.load_filter(Isolation(seccomp="unconfined"), cache) == b""


def test_runtime_spec_has_the_native_architecture_and_known_calls_only() -> None:
    text = seccomp_profile.read_profile("default")
    profile = seccomp_profile.resolve_profile(text, DEFAULT_CAPABILITIES, "x86_64", "profile.json")
    config = seccomp_profile.to_runtime_spec(profile, "x86_64")
    assert config["architectures"] == ["SCMP_ARCH_X86_64"]
    assert config["defaultErrnoRet"] == errno.ENOSYS
    names = {name for call in config["syscalls"] for name in call["names"]}
    assert names <= set(seccomp_profile.read_numbers("x86_64"))
    masks = [call["args"][0] for call in config["syscalls"] if call["names"] == ["ioctl"]]

    def allowed(request: int) -> bool:
        return any(request & mask["value"] == mask["valueTwo"] for mask in masks)

    assert not allowed(0x5412)
    assert not allowed(0x541C)
    assert all(map(allowed, (0, 0x5401, 0x5411, 0x5413, 0x541B, 0x541D, 0xFFFFFFFF)))
    msgspec.json.encode(config)


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
    numbers = seccomp_profile.read_numbers(machine)
    assert numbers.items() <= (numbers | header_numbers).items()
    assert sum(name in header_numbers for name in numbers) > 280


def test_machines_without_a_table_have_no_numbers() -> None:
    assert seccomp_profile.read_numbers("vax") == {}
