"""Isolators: restrictions of apps and pods, with the values that each of them has (spec/ace.md, "Isolators").

An `Isolator` has its value as the document has it; `read_value` returns what it means.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pumice.appc.findings import Findings
from pumice.appc.members import Members, check_number, check_text
from pumice.appc.names import check_identifier
from pumice.appc.quantities import parse_quantity
from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Scope = Literal["app", "pod"]

CPU = "resource/cpu"
MEMORY = "resource/memory"
BLOCK_BANDWIDTH = "resource/block-bandwidth"
BLOCK_OPERATIONS = "resource/block-iops"
NETWORK_BANDWIDTH = "resource/network-bandwidth"
RETAIN_CAPABILITIES = "os/linux/capabilities-retain-set"
REMOVE_CAPABILITIES = "os/linux/capabilities-remove-set"
RETAIN_SYSCALLS = "os/linux/seccomp-retain-set"
REMOVE_SYSCALLS = "os/linux/seccomp-remove-set"
NO_NEW_PRIVILEGES = "os/linux/no-new-privileges"
OOM_SCORE = "os/linux/oom-score-adj"
CPU_SHARES = "os/linux/cpu-shares"
SELINUX = "os/linux/selinux-context"
APPARMOR = "os/linux/apparmor-profile"
SYSCTL = "os/unix/sysctl"

DEFAULT_CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETFCAP",
    "CAP_SYS_CHROOT",
)
"""The capabilities of an app without an isolator for them."""
ALL_SYSCALLS = "@appc.io/all"
NO_SYSCALLS = "@appc.io/empty"

_CAPABILITY = re.compile(r"CAP_[A-Z][A-Z0-9_]*")
_SYSCALL = re.compile(r"[a-z_][a-z0-9_]*")
_ERRNO = re.compile(r"E[A-Z0-9]+")


class Isolator(msgspec.Struct, frozen=True):
    """An isolator; ``value`` is JSON as in the document."""

    name: str
    value: Any


class Resource(msgspec.Struct, frozen=True):
    """The amount of a resource: what is reserved and the most that may be used, None for no such value.

    ``request`` is the limit if only that is given. The unit is cores, bytes, or either per second.
    """

    request: Fraction | None
    limit: Fraction | None
    is_default: bool = False


class Capabilities(msgspec.Struct, frozen=True):
    """The capabilities that an app keeps or loses, such as ``CAP_KILL``."""

    names: tuple[str, ...]


class Syscalls(msgspec.Struct, frozen=True):
    """System calls and wildcards (``@appc.io/all``), and the errno for a refused one; "" kills the app."""

    names: tuple[str, ...]
    errno: str = ""


class SelinuxContext(msgspec.Struct, frozen=True):
    """The parts of an SELinux context."""

    user: str
    role: str
    type: str
    level: str


class AppArmorProfile(msgspec.Struct, frozen=True):
    """The name of an AppArmor profile."""

    profile: str


Value = Resource | Capabilities | Syscalls | SelinuxContext | AppArmorProfile | dict[str, str] | bool | int


def read_isolators(parent: Members, scope: Scope, name: str = "isolators") -> tuple[Isolator, ...]:
    """Return the isolators of an app or a pod, all of whose values are valid; raises FormatError.

    Unknown isolators are accepted with a warning, as executors may ignore them.
    """
    findings = parent.findings

    def read(value: Any, where: str) -> Isolator:
        members = Members(value, where, ("name", "value"), findings)
        isolator = Isolator(members.text("name"), members.get("value"))
        check_identifier(isolator.name, members.place("name"), findings)
        if isolator.name not in _READERS:
            findings.warn(where, f"unknown isolator {isolator.name[:60]!r}")
        elif scope not in _SCOPES[isolator.name]:
            findings.warn(where, f"the isolator {isolator.name!r} has no effect on a whole {scope}")
        read_value(isolator, where, findings)
        return isolator

    isolators = parent.items(name, read)
    _check_combination([isolator.name for isolator in isolators], parent.place(name), findings)
    return isolators


def read_value(isolator: Isolator, where: str = "isolator", findings: Findings | None = None) -> Value | None:
    """Return what the value of an isolator means, None if the isolator is unknown; raises FormatError."""
    read = _READERS.get(isolator.name)
    if read is None:
        return None
    if isolator.value is None:
        raise FormatError(f"the isolator {isolator.name!r} has no value", where=where)
    return read(isolator.value, f"{where}.value", findings or Findings())


def _check_combination(names: Sequence[str], where: str, findings: Findings) -> None:
    for first, second in (
        (RETAIN_CAPABILITIES, REMOVE_CAPABILITIES),
        (RETAIN_SYSCALLS, REMOVE_SYSCALLS),
    ):
        if first in names and second in names:
            raise FormatError(f"the isolators {first!r} and {second!r} exclude each other", where=where)
    for name in dict.fromkeys(names):
        if names.count(name) > 1 and name in _SINGLE:
            raise FormatError(f"the isolator {name!r} is given twice", where=where)
        if names.count(name) > 1:
            findings.warn(where, f"the isolator {name[:60]!r} is given twice")


def _read_resource(value: Any, where: str, findings: Findings) -> Resource:
    members = Members(value, where, ("default", "request", "limit"), findings)
    if members.flag("default"):
        raise FormatError("this resource has no default", where=where)
    request, limit = (_read_quantity(members, name) for name in ("request", "limit"))
    if request is None and limit is None:
        findings.warn(where, "neither a request nor a limit is given")
    if request is not None and limit is not None and request > limit:
        raise FormatError("the request is larger than the limit", where=where)
    return Resource(limit if request is None else request, limit)


def _read_default_resource(value: Any, where: str, findings: Findings) -> Resource:
    members = Members(value, where, ("default", "request", "limit"), findings)
    if not members.flag("default"):
        raise FormatError(
            "only the default of this resource can be limited: 'default' must be true", where=where
        )
    if members.has("request"):
        raise FormatError("this resource cannot be requested", where=where)
    limit = _read_quantity(members, "limit")
    if limit is None:
        raise FormatError("the member 'limit' is missing", where=where)
    return Resource(None, limit, is_default=True)


def _read_quantity(members: Members, name: str) -> Fraction | None:
    if not members.has(name):
        return None
    value = members.get(name)
    # Go's type also reads a number without quotes.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else members.text(name)
    return parse_quantity(text, members.place(name), members.findings)


def _read_capabilities(value: Any, where: str, findings: Findings) -> Capabilities:
    members = Members(value, where, ("set",), findings)
    names = members.texts("set")
    if not names:
        raise FormatError("the set of capabilities is empty", where=where)
    for name in names:
        if not _CAPABILITY.fullmatch(name):
            findings.warn(where, f"{name[:40]!r} is not the name of a capability")
    return Capabilities(names)


def _read_syscalls(value: Any, where: str, findings: Findings) -> Syscalls:
    members = Members(value, where, ("set", "errno"), findings)
    names, errno = members.texts("set"), members.text("errno", "")
    if not names:
        raise FormatError("the set of system calls is empty", where=where)
    for name in names:
        if name.startswith("@"):
            check_identifier(name[1:], where, findings)
        elif not _SYSCALL.fullmatch(name):
            findings.warn(where, f"{name[:40]!r} is not the name of a system call")
    if errno and not _ERRNO.fullmatch(errno):
        raise FormatError(f"{errno[:40]!r} is not the name of an errno", where=members.place("errno"))
    return Syscalls(names, errno)


def _read_flag(value: Any, where: str, _: Findings) -> bool:
    if not isinstance(value, bool):
        raise FormatError("expected true or false", where=where)
    return value


def _read_number(least: int, most: int) -> Callable[[Any, str, Findings], int]:
    return lambda value, where, _: check_number(value, where, least=least, most=most)


def _read_selinux(value: Any, where: str, findings: Findings) -> SelinuxContext:
    members = Members(value, where, ("user", "role", "type", "level"), findings)
    context = SelinuxContext(*(members.text(name) for name in ("user", "role", "type", "level")))
    if not (context.user and context.role and context.type and context.level):
        raise FormatError("a part of the SELinux context is empty", where=where)
    if ":" in context.user + context.role + context.type:
        raise FormatError("a part of the SELinux context contains a colon", where=where)
    return context


def _read_apparmor(value: Any, where: str, findings: Findings) -> AppArmorProfile:
    members = Members(value, where, ("profile",), findings)
    profile = members.text("profile")
    if not profile:
        raise FormatError("the name of the AppArmor profile is empty", where=where)
    return AppArmorProfile(profile)


def _read_sysctl(value: Any, where: str, _: Findings) -> dict[str, str]:
    if not isinstance(value, dict):
        raise FormatError("expected an object", where=where)
    return {name: check_text(setting, f"{where}.{name[:60]}") for name, setting in value.items()}


_READERS: dict[str, Callable[[Any, str, Findings], Value]] = {
    CPU: _read_resource,
    MEMORY: _read_resource,
    BLOCK_BANDWIDTH: _read_default_resource,
    BLOCK_OPERATIONS: _read_default_resource,
    NETWORK_BANDWIDTH: _read_default_resource,
    RETAIN_CAPABILITIES: _read_capabilities,
    REMOVE_CAPABILITIES: _read_capabilities,
    RETAIN_SYSCALLS: _read_syscalls,
    REMOVE_SYSCALLS: _read_syscalls,
    NO_NEW_PRIVILEGES: _read_flag,
    OOM_SCORE: _read_number(-1000, 1000),
    CPU_SHARES: _read_number(2, 262144),
    SELINUX: _read_selinux,
    APPARMOR: _read_apparmor,
    SYSCTL: _read_sysctl,
}
_SCOPES: dict[str, tuple[Scope, ...]] = {
    **dict.fromkeys(_READERS, ("app",)),
    **dict.fromkeys(
        (CPU, MEMORY, BLOCK_BANDWIDTH, BLOCK_OPERATIONS, NETWORK_BANDWIDTH, SELINUX, APPARMOR), ("app", "pod")
    ),
    SYSCTL: ("pod",),
}
_SINGLE = frozenset(
    {RETAIN_SYSCALLS, REMOVE_SYSCALLS, NO_NEW_PRIVILEGES, OOM_SCORE, CPU_SHARES, SELINUX, APPARMOR, SYSCTL}
)
