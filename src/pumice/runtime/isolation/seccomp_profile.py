"""Profiles of system calls in the format of docker and podman, resolved for one container.

``data/seccomp.json`` is the default profile. It allows less than podman's: without CAP_SYS_ADMIN, no
namespaces, mounts and kernel keys; without CAP_SYS_PTRACE, no tracing; io_uring never.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import UsageError
from pumice.os_errors import read_user_file
from pumice.runtime.isolation.model import DEFAULT_SECCOMP

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_DATA = Path(__file__).with_name("data")
_MAX_PROFILE = 1 << 20
_MAX_RULES = 4000
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}
"""The machines whose system calls are known, as profiles name them."""
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
OPERATORS = (
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
)


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """A comparison of an argument; for ``SCMP_CMP_MASKED_EQ``, ``value`` is the mask."""

    index: int
    value: int
    op: str
    value_two: int = 0


class _Filter(msgspec.Struct, frozen=True):
    arches: list[str] = []
    caps: list[str] = []


class _Rule(msgspec.Struct, frozen=True, rename="camel"):
    action: str
    names: list[str] = []
    name: str = ""
    errno_ret: int | None = None
    args: list[Condition] | None = None
    includes: _Filter = _Filter()
    excludes: _Filter = _Filter()


class _Profile(msgspec.Struct, frozen=True, rename="camel"):
    default_action: str
    default_errno_ret: int | None = None
    syscalls: list[_Rule] = []


class Rule(msgspec.Struct, frozen=True):
    """What happens to the calls ``names`` if all ``conditions`` hold; ``error`` is that of SCMP_ACT_ERRNO."""

    names: tuple[str, ...]
    action: str
    error: int = errno.EPERM
    conditions: tuple[Condition, ...] = ()


class ResolvedProfile(msgspec.Struct, frozen=True):
    """The rules of a profile for one machine and set of capabilities; the first that matches applies."""

    action: str
    error: int
    rules: tuple[Rule, ...]


def read_profile(name: str) -> bytes:
    """Return the text of a profile: the default one, or a file; raises UsageError, FormatError."""
    path = _DATA / "seccomp.json" if name == DEFAULT_SECCOMP else Path(name)
    hint = "write --security-opt seccomp=FILE, or seccomp=unconfined for no filter"
    return read_user_file(path, "seccomp profile", _MAX_PROFILE, hint=hint)


def resolve_profile(data: bytes, capabilities: Collection[str], machine: str, name: str) -> ResolvedProfile:
    """Return the rules of a profile for a container with ``capabilities``; raises UsageError."""
    try:
        profile = msgspec.json.decode(data, type=_Profile)
    except msgspec.MsgspecError as error:
        raise _invalid(name, str(error)) from None
    if len(profile.syscalls) > _MAX_RULES:
        raise _invalid(name, f"it has more than {_MAX_RULES} rules")
    _check_action(name, profile.default_action)
    rules = tuple(_resolve_rules(name, profile, capabilities, machine))
    return ResolvedProfile(profile.default_action, _error(name, profile.default_errno_ret), rules)


def _resolve_rules(
    name: str, profile: _Profile, capabilities: Collection[str], machine: str
) -> Iterator[Rule]:
    architecture = ARCHITECTURES.get(machine, machine)
    for rule in profile.syscalls:
        _check_action(name, rule.action)
        conditions = tuple(rule.args or ())
        for condition in conditions:
            if condition.op not in OPERATORS or not 0 <= condition.index <= 5:
                raise _invalid(name, f"an argument is compared by {condition.op[:40]!r}")
            if (
                not 0
                <= min(condition.value, condition.value_two)
                <= max(condition.value, condition.value_two)
                < (1 << 64)
            ):
                raise _invalid(name, "a value has more than 64 bits")
        included = (not rule.includes.arches or architecture in rule.includes.arches) and all(
            cap.removeprefix("CAP_") in capabilities for cap in rule.includes.caps
        )
        excluded = architecture in rule.excludes.arches or any(
            cap.removeprefix("CAP_") in capabilities for cap in rule.excludes.caps
        )
        if included and not excluded:
            names = (*rule.names, *((rule.name,) if rule.name else ()))
            yield Rule(names, rule.action, _error(name, rule.errno_ret), conditions)


def _check_action(name: str, action: str) -> None:
    if action not in ACTIONS:
        raise _invalid(name, f"{action[:40]!r} is not one of {', '.join(ACTIONS)}")


def _error(name: str, number: int | None) -> int:
    if number is not None and not 0 <= number < 4096:
        raise _invalid(name, f"{number} is not an error number")
    return errno.EPERM if number is None else number


def _invalid(name: str, reason: str) -> UsageError:
    return UsageError(f"invalid seccomp profile: {reason}", where=name[:200])


def read_numbers(machine: str) -> dict[str, int]:
    """Return the numbers of the system calls of ``machine`` by name; empty for an unknown machine."""
    if machine not in ARCHITECTURES:
        return {}
    column = 1 if machine == "x86_64" else 2
    numbers = {}
    with (_DATA / "system-calls.tsv").open(encoding="ascii") as file:
        for line in file:
            fields = line.rstrip("\n").split("\t")
            if not line.startswith("#") and fields[column] != "-":
                numbers[fields[0]] = int(fields[column])
    return numbers


def to_runtime_spec(profile: ResolvedProfile, machine: str) -> dict[str, Any]:
    """Return ``linux.seccomp`` of an OCI runtime's config, for the native architecture only.

    libseccomp has no order of rules: one without conditions replaces those with conditions. So the calls
    that only some arguments allow fail with the default error for others.
    """
    architecture = {"x86_64": "X86_64", "aarch64": "AARCH64", "riscv64": "RISCV64"}.get(machine)
    numbers = read_numbers(machine)
    conditional = {name for rule in profile.rules for name in rule.names if rule.conditions}
    calls: list[dict[str, Any]] = []
    for rule in profile.rules:
        names = [name for name in rule.names if name in numbers or not numbers]
        if not rule.conditions:
            names = [name for name in names if name not in conditional]
        if names and not (rule.conditions and rule.action != "SCMP_ACT_ALLOW"):
            calls.append(_call(names, rule))
    for name in sorted(conditional):
        calls += _allow_all_but_denied(name, profile)
    return {
        "defaultAction": profile.action,
        **({"defaultErrnoRet": profile.error} if profile.action == "SCMP_ACT_ERRNO" else {}),
        **({"architectures": [f"SCMP_ARCH_{architecture}"]} if architecture else {}),
        "syscalls": calls,
    }


def _call(names: list[str], rule: Rule) -> dict[str, Any]:
    error = {"errnoRet": rule.error} if rule.action == "SCMP_ACT_ERRNO" else {}
    arguments = [msgspec.to_builtins(condition) for condition in rule.conditions]
    return {"names": names, "action": rule.action, **error, **({"args": arguments} if arguments else {})}


def _allow_all_but_denied(name: str, profile: ResolvedProfile) -> Iterator[dict[str, Any]]:
    """Yield rules that allow a call unless one of its 32-bit arguments has a denied value."""
    rules = [rule for rule in profile.rules if name in rule.names]
    denied = [rule.conditions[0] for rule in rules if rule.conditions and rule.action == "SCMP_ACT_ERRNO"]
    if not denied or rules[-1].action != "SCMP_ACT_ALLOW" or rules[-1].conditions:
        return
    values = {condition.value_two for condition in denied}
    for mask, value in _prefixes_without(values):
        condition = Condition(denied[0].index, mask, "SCMP_CMP_MASKED_EQ", value)
        yield _call([name], Rule((name,), "SCMP_ACT_ALLOW", conditions=(condition,)))


def _prefixes_without(values: Collection[int]) -> Iterator[tuple[int, int]]:
    """Yield (mask, value) of the fewest binary prefixes that cover all 32-bit numbers but ``values``."""
    pending = [(0, 0)]  # length and value of a prefix
    while pending:
        length, prefix = pending.pop()
        mask = (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF
        inside = [value for value in values if value & mask == prefix]
        if not inside:
            yield mask, prefix
        elif length < 32:
            pending += [(length + 1, prefix), (length + 1, prefix | 1 << (31 - length))]


def host_machine() -> str:
    """Return the machine whose system calls a filter sees."""
    return os.uname().machine
