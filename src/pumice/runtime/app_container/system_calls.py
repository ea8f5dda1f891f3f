"""Profiles of system calls for the seccomp isolators (ace.md, "os/linux/seccomp-remove-set")."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.appc.isolators import ALL_SYSCALLS, NO_SYSCALLS, REMOVE_SYSCALLS
from pumice.errors import FormatError
from pumice.runtime.isolation import seccomp_profile
from pumice.runtime.isolation.model import DEFAULT_SECCOMP

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.appc.isolators import Syscalls

_DEFAULT_SETS = {
    "@docker/default-blacklist",
    "@docker/default-whitelist",
    "@rkt/default-blacklist",
    "@rkt/default-whitelist",
}
"""Wildcards of rkt for its default filters, for which the default filter of Pumice stands in."""
_LIFE_CYCLE = ("brk", "execve", "exit", "exit_group", "mmap", "munmap", "restart_syscall", "rt_sigreturn")
"""What starting and ending a program takes."""


class FilterPlan(msgspec.Struct, frozen=True):
    """A profile as JSON (None: the default filter, empty: none), and how it differs from the request."""

    profile: bytes | None
    modification: str = ""


def plan_filter(isolator: str, syscalls: Syscalls, *, is_bounded: bool) -> FilterPlan:
    """Return the filter of an isolator; with ``is_bounded``, it allows nothing that the default one denies.

    Raises FormatError for a wildcard or an errno that does not exist.
    """
    names = set(syscalls.names)
    is_removed = isolator == REMOVE_SYSCALLS
    if is_removed and NO_SYSCALLS in names:
        return FilterPlan(None)
    if not is_removed and ALL_SYSCALLS in names:
        return FilterPlan(None, "the default filter stays") if is_bounded else FilterPlan(b"")
    wildcards = {name for name in names if name.startswith("@")}
    if unknown := sorted(wildcards - _DEFAULT_SETS):
        raise FormatError(
            f"{isolator} has the wildcard {unknown[0][:60]!r}, which does not exist here",
            hint=f"use {NO_SYSCALLS if is_removed else ALL_SYSCALLS}, or list the system calls",
        )
    names -= wildcards
    action = _make_action(isolator, syscalls.errno)
    if is_removed:
        return FilterPlan(_remove(names, action))
    denied = names - _list_allowed()
    if is_bounded and denied:
        listed = ", ".join(sorted(denied)[:3])
        reason = f"the default filter still denies {listed}{' and others' if len(denied) > 3 else ''}"
        return FilterPlan(_retain(names, action, bool(wildcards), is_bounded=True), reason)
    return FilterPlan(_retain(names, action, bool(wildcards), is_bounded=is_bounded))


def _make_action(isolator: str, name: str) -> dict[str, Any]:
    if not name:
        return {"action": "SCMP_ACT_KILL_PROCESS"}
    number = getattr(errno, name, None)
    if not isinstance(number, int):
        raise FormatError(f"{isolator} has the errno {name[:40]!r}, which Linux does not have")
    return {"action": "SCMP_ACT_ERRNO", "errnoRet": number}


def _remove(names: set[str], action: dict[str, Any]) -> bytes:
    """Return the default profile with another action for some calls."""
    profile = _read_default()
    removed = [{"names": sorted(names), **action}] if names else []
    profile["syscalls"] = [*removed, *_filter(profile["syscalls"], lambda name: name not in names)]
    return json.dumps(profile, sort_keys=True).encode()


def _retain(names: set[str], action: dict[str, Any], with_default: bool, *, is_bounded: bool) -> bytes:
    """Return a profile that allows some calls only, and with ``with_default`` those of the default one."""
    names |= set(_LIFE_CYCLE)
    rules = _read_default()["syscalls"]
    if is_bounded:
        allowed = rules if with_default else _filter(rules, lambda name: name in names)
    else:
        rest = _filter(rules, lambda name: name not in names) if with_default else []
        allowed = [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}, *rest]
    profile: dict[str, Any] = {"defaultAction": action["action"], "syscalls": allowed}
    if "errnoRet" in action:
        profile["defaultErrnoRet"] = action["errnoRet"]
    return json.dumps(profile, sort_keys=True).encode()


def _read_default() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(seccomp_profile.read_profile(DEFAULT_SECCOMP))
    return document


def _list_allowed() -> set[str]:
    rules = _read_default()["syscalls"]
    return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


def _filter(rules: list[dict[str, Any]], keeps: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return rules with some of their calls only: libseccomp refuses two actions for one call."""
    shortened = [{**rule, "names": [each for each in rule["names"] if keeps(each)]} for rule in rules]
    return [rule for rule in shortened if rule["names"]]
