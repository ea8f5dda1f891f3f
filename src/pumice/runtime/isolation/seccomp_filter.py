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

_FAIL = -1
"""A jump to the next rule, until its distance is known."""

_HALF = 0xFFFFFFFF
_EQUAL_UPPER = ((_EQUAL, 0, _FAIL),)
_NOT_LESS_UPPER = ((_GREATER, 3, 0), (_EQUAL, 0, _FAIL))  # if greater, the lower half does not matter
_NOT_GREATER_UPPER = ((_GREATER, _FAIL, 0), (_EQUAL, 0, 2))
_COMPARISONS = {
    "SCMP_CMP_EQ": (_EQUAL_UPPER, (_EQUAL, 0, _FAIL)),
    "SCMP_CMP_MASKED_EQ": (_EQUAL_UPPER, (_EQUAL, 0, _FAIL)),
    "SCMP_CMP_NE": (((_EQUAL, 0, 2),), (_EQUAL, _FAIL, 0)),
    "SCMP_CMP_GT": (_NOT_LESS_UPPER, (_GREATER, 0, _FAIL)),
    "SCMP_CMP_GE": (_NOT_LESS_UPPER, (_AT_LEAST, 0, _FAIL)),
    "SCMP_CMP_LT": (_NOT_GREATER_UPPER, (_AT_LEAST, _FAIL, 0)),
    "SCMP_CMP_LE": (_NOT_GREATER_UPPER, (_GREATER, _FAIL, 0)),
}
"""How a 64-bit argument is compared: the tests of its upper half, and the test of its lower half.

Each is an operation and the jumps if it holds and if not.
"""

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


def _test(condition: Condition) -> Block:
    """Return the code that jumps to `_FAIL` unless a 64-bit argument fulfills the condition."""
    upper_tests, lower_test = _COMPARISONS[condition.op]
    is_masked = condition.op == "SCMP_CMP_MASKED_EQ"
    value = condition.value_two if is_masked else condition.value
    code: Block = []
    for offset, shift, tests in ((20, 32, upper_tests), (16, 0, (lower_test,))):
        code.append((_LOAD, 0, 0, offset + 8 * condition.index))
        if is_masked:
            code.append((_AND, 0, 0, condition.value >> shift & _HALF))
        code += [(*test, value >> shift & _HALF) for test in tests]
    return code
