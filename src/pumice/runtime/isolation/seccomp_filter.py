"""Compile a profile of system calls to classic BPF (seccomp(2)), without libseccomp.

The number of the call is looked up by bisection. Calls of other architectures, including x32, fail with
ENOSYS. Filters are kept in the store by the digest of profile, capabilities and machine.
"""

from __future__ import annotations

import errno
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from pumice import digest
from pumice.runtime.isolation import seccomp_profile
from pumice.runtime.isolation.model import UNCONFINED
from pumice.runtime.isolation.seccomp_profile import ACTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.runtime.isolation.model import Isolation
    from pumice.runtime.isolation.seccomp_profile import Condition, ResolvedProfile, Rule

_FORMAT = "1"
_LOAD, _EQUAL, _AT_LEAST, _GREATER, _ANY_BIT, _AND = 0x20, 0x15, 0x35, 0x25, 0x45, 0x54
_JUMP, _RETURN = 0x05, 0x06
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7, "riscv64": 0xC00000F3}
_X32 = 0x40000000
_ENOSYS = ACTIONS["SCMP_ACT_ERRNO"] | errno.ENOSYS
_MAX_INSTRUCTIONS = 4096

Instruction = tuple[int, int, int, int]
Block = list[Instruction]


def load_filter(isolation: Isolation, cache: Path | None) -> bytes:
    """Return the filter for a container, from the directory ``cache`` if it is there.

    Empty if the container has none, or the system calls of this machine are not known. Raises UsageError
    for an invalid profile.
    """
    machine = seccomp_profile.host_machine()
    if isolation.seccomp == UNCONFINED or machine not in _AUDIT:
        return b""
    data = seccomp_profile.read_profile(isolation.seccomp)
    key = "\0".join((_FORMAT, machine, *isolation.capabilities)).encode()
    path = cache / digest.hex_of(digest.of(key + b"\0\0" + data)) if cache else None
    if path is not None:
        with suppress(OSError):
            program = path.read_bytes()
            if program and len(program) % 8 == 0:
                return program
    profile = seccomp_profile.resolve_profile(data, isolation.capabilities, machine, isolation.seccomp)
    program = compile_filter(profile, machine)
    if path is not None:
        _store(path, program)
    return program


def _store(path: Path, program: bytes) -> None:
    from pumice import files

    with suppress(OSError):  # a read-only store only makes the next start slower
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary = path.with_name(f".{files.scratch_name()}")
        temporary.write_bytes(program)
        temporary.rename(path)


def compile_filter(profile: ResolvedProfile, machine: str) -> bytes:
    """Return the filter as an array of struct sock_filter; raises UsageError if it is too long."""
    numbers = seccomp_profile.read_numbers(machine)
    default = _answer(profile.action, profile.error)
    by_number: dict[int, list[Rule]] = {}
    for rule in profile.rules:
        for name in rule.names:
            if name in numbers:
                by_number.setdefault(numbers[name], []).append(rule)
    blocks = {number: _block(rules, default) for number, rules in by_number.items()}
    spans: list[tuple[int, Block]] = []  # the first number of a span, and the code for all numbers in it
    for number in range(max(blocks, default=0) + 2):
        block = blocks.get(number, [(_RETURN, 0, 0, default)])
        if not spans or spans[-1][1] != block:
            spans.append((number, block))
    code: Block = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 1, 0, _AUDIT[machine]),
        (_RETURN, 0, 0, _ENOSYS),
        (_LOAD, 0, 0, 0),  # the number of the call
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ENOSYS),
        *_search(spans),
    ]
    if len(code) > _MAX_INSTRUCTIONS:
        from pumice.errors import UsageError

        raise UsageError(f"the seccomp profile needs more than {_MAX_INSTRUCTIONS} instructions")
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


def _search(spans: list[tuple[int, Block]]) -> Block:
    """Return the code that finds the span of the loaded number."""
    if len(spans) == 1:
        return spans[0][1]
    middle = len(spans) // 2
    lower, upper = _search(spans[:middle]), _search(spans[middle:])
    if len(lower) <= 255:
        return [(_AT_LEAST, len(lower), 0, spans[middle][0]), *lower, *upper]
    return [(_AT_LEAST, 0, 1, spans[middle][0]), (_JUMP, 0, 0, len(lower)), *lower, *upper]


def _answer(action: str, error: int) -> int:
    return ACTIONS[action] | (error if action == "SCMP_ACT_ERRNO" else 0)


def _block(rules: list[Rule], default: int) -> Block:
    """Return the code for one call: the first rule whose conditions hold decides."""
    code: Block = []
    for rule in rules:
        answer = (_RETURN, 0, 0, _answer(rule.action, rule.error))
        if not rule.conditions:
            return [*code, answer]
        # Each test falls through if it holds, and jumps behind the answer if not.
        tests = [instruction for condition in rule.conditions for instruction in _test(condition)]
        end = len(tests)
        for position, (operation, on_true, on_false, constant) in enumerate(tests):
            distance = end - position  # to the instruction behind the answer
            code.append(
                (
                    operation,
                    distance if on_true == _FAIL else on_true,
                    distance if on_false == _FAIL else on_false,
                    constant,
                )
            )
        code.append(answer)
    return [*code, (_RETURN, 0, 0, default)]


_FAIL = -1
"""A jump to the next rule, until its distance is known."""


def _test(condition: Condition) -> Block:
    """Return the code that jumps to `_FAIL` unless a 64-bit argument fulfills the condition."""
    low, high = 16 + 8 * condition.index, 20 + 8 * condition.index
    value_low, value_high = condition.value & 0xFFFFFFFF, condition.value >> 32
    load_low, load_high = (_LOAD, 0, 0, low), (_LOAD, 0, 0, high)
    match condition.op:
        case "SCMP_CMP_EQ":
            return [
                load_high,
                (_EQUAL, 0, _FAIL, value_high),
                load_low,
                (_EQUAL, 0, _FAIL, value_low),
            ]
        case "SCMP_CMP_NE":
            return [
                load_high,
                (_EQUAL, 0, 2, value_high),
                load_low,
                (_EQUAL, _FAIL, 0, value_low),
            ]
        case "SCMP_CMP_MASKED_EQ":
            two_low, two_high = condition.value_two & 0xFFFFFFFF, condition.value_two >> 32
            return [
                load_high,
                (_AND, 0, 0, value_high),
                (_EQUAL, 0, _FAIL, two_high),
                load_low,
                (_AND, 0, 0, value_low),
                (_EQUAL, 0, _FAIL, two_low),
            ]
        case "SCMP_CMP_GT" | "SCMP_CMP_GE":
            compare = _GREATER if condition.op == "SCMP_CMP_GT" else _AT_LEAST
            return [
                load_high,
                (_GREATER, 3, 0, value_high),
                (_EQUAL, 0, _FAIL, value_high),
                load_low,
                (compare, 0, _FAIL, value_low),
            ]
        case _:  # less, or less or equal: the opposite of at least, or of greater
            compare = _AT_LEAST if condition.op == "SCMP_CMP_LT" else _GREATER
            return [
                load_high,
                (_GREATER, _FAIL, 0, value_high),
                (_EQUAL, 0, 2, value_high),
                load_low,
                (compare, _FAIL, 0, value_low),
            ]
