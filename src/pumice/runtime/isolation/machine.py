"""Fit a container to this machine: what the caller's own limits and the kernel do not allow is reported."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError
from pumice.formats.lines import split_lines
from pumice.runtime.guest import sharing
from pumice.runtime.isolation import control_groups, isolators, option_values
from pumice.runtime.isolation.capabilities import NUMBERS
from pumice.runtime.isolation.isolators import Complaint
from pumice.runtime.isolation.model import UNLIMITED, Isolation, Limits, Rlimit

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from pumice.progress import Progress
    from pumice.runtime.container import Container
    from pumice.runtime.isolation.isolators import Effect

_CAP_SYS_RESOURCE = 24


def fit_container(
    container: Container, backend: str, progress: Progress, *, strict: bool, in_pod: bool = False
) -> Container:
    """Return the container as it can run here, and report unsupported isolators; see `isolators.report`.

    ``in_pod``: other apps will share its network.
    """
    unsupported = isolators.find_complaints(container, backend, in_pod=in_pod)
    if backend == "kvm":
        if sharing.find_server(container):
            shared = ("--volume", "--volume :bind")
            unsupported = tuple(item for item in unsupported if item.option not in shared)
        container = _size_machine(container)
    if backend == "fly":  # its apps see all processes anyway
        container = msgspec.structs.replace(container, pod_pids=False)
    if backend == "crun":
        unsupported = (*unsupported, *_find_lost_limits(container.isolation))
    container = _without_ignored(container, {complaint.option for complaint in unsupported})
    isolation, complaints = fit_isolation(container.isolation)
    isolation = _fit_sysctls(isolation, container.network, complaints)
    if backend != "kvm" and not isolators.needs_user_namespace(container, backend):
        isolation = _fit_capabilities(isolation, complaints)
    isolators.report((*unsupported, *complaints), progress, strict=strict)
    return msgspec.structs.replace(container, isolation=isolation)


def _find_lost_limits(isolation: Isolation) -> list[Complaint]:
    """Return complaints about limits that crun does not keep, because it leaves our control groups."""
    if os.geteuid() != 0 or "MKNOD" not in isolation.capabilities:
        return []
    reason = "crun leaves the control group to limit which devices a program with MKNOD can use"
    return [
        Complaint(option, "ignored", reason)
        for field, option in _OPTIONS.items()
        if getattr(isolation.limits, field)
    ]


def _without_ignored(container: Container, options: AbstractSet[str]) -> Container:
    """Return the container without what would have an effect although it is ignored."""
    if "--pid pod" in options:
        container = msgspec.structs.replace(container, pod_pids=False)
    if options & {"socketActivated", "socketActivated with --pid pod"}:
        container = msgspec.structs.replace(container, listen=())
    return container


def _fit_sysctls(isolation: Isolation, network: str, complaints: list[Complaint]) -> Isolation:
    """Return the isolation without kernel settings of the host, which a pod must not change."""
    kept = []
    for name, value in isolation.sysctls:
        obstacle = option_values.find_sysctl_obstacle(name, own_network=network != "host")
        if obstacle:
            complaints.append(Complaint(f"the kernel setting {name[:60]!r}", "ignored", f"it {obstacle}"))
        else:
            kept.append((name, value))
    return msgspec.structs.replace(isolation, sysctls=tuple(kept))


def _fit_capabilities(isolation: Isolation, complaints: list[Complaint]) -> Isolation:
    """Return the isolation with the capabilities that this process has, and can pass on."""
    kept = tuple(name for name in isolation.capabilities if _has_capability(NUMBERS[name]))
    added = tuple(name for name in isolation.added_capabilities if name in kept)
    if lost := [name for name in isolation.added_capabilities if name not in kept]:
        reason = "you do not have it yourself"
        complaints.append(Complaint(f"--cap-add {','.join(lost)}", "ignored", reason))
    return msgspec.structs.replace(isolation, capabilities=kept, added_capabilities=added)


def _size_machine(container: Container) -> Container:
    """Return the container with its limits as the size of a virtual machine instead of control groups."""
    isolation = msgspec.structs.replace(container.isolation, limits=UNLIMITED)
    return msgspec.structs.replace(container, isolation=isolation, machine=container.isolation.limits)


def fit_isolation(isolation: Isolation) -> tuple[Isolation, list[Complaint]]:
    """Return the isolation within the limits of this process, and complaints about what was changed.

    Raises SandboxError for an AppArmor profile that cannot be enforced.
    """
    complaints: list[Complaint] = []
    if isolation.apparmor:
        _check_apparmor(isolation.apparmor)
    if isolation.selinux and not Path("/sys/fs/selinux/enforce").exists():
        complaints.append(Complaint("--security-opt label=", "ignored", "SELinux is not enabled here"))
        isolation = msgspec.structs.replace(isolation, selinux="")
    isolation = msgspec.structs.replace(
        isolation,
        limits=_fit_limits(isolation.limits, Limits(), "", complaints),
        pod_limits=_fit_limits(isolation.pod_limits, UNLIMITED, " of the pod", complaints),
    )
    if not _has_capability(_CAP_SYS_RESOURCE):
        rlimits = tuple(_fit_rlimit(limit, complaints) for limit in isolation.rlimits)
        isolation = msgspec.structs.replace(
            isolation, rlimits=rlimits, oom_score=_fit_oom_score(isolation.oom_score, complaints)
        )
    return isolation, complaints


_OPTIONS = {
    "memory": "--memory",
    "cpus": "--cpus",
    "cpu_shares": "--cpu-shares",
    "pids": "--pids-limit",
}
_BLOCK_ISOLATORS = {
    "block_bandwidth": "the isolator resource/block-bandwidth",
    "block_operations": "the isolator resource/block-iops",
}


def _fit_limits(limits: Limits, default: Limits, suffix: str, complaints: list[Complaint]) -> Limits:
    """Return the limits that control groups can have here; ``suffix`` follows the names of the others."""
    chosen_blocks = {field: number for field in _BLOCK_ISOLATORS if (number := getattr(limits, field))}
    blocks = msgspec.structs.replace(UNLIMITED, **chosen_blocks)
    limits = msgspec.structs.replace(limits, **dict.fromkeys(_BLOCK_ISOLATORS, 0))
    names = {**_OPTIONS, **_BLOCK_ISOLATORS}

    def complain(refused: Limits, effect: Effect, reason: str) -> None:
        for field, name in names.items():
            if getattr(refused, field):
                complaints.append(Complaint(f"{name}{suffix}", effect, reason))

    if limits not in (default, UNLIMITED) and (obstacle := control_groups.find_obstacle(limits)):
        complain(limits, "ignored", obstacle)
        limits = default
    if not chosen_blocks:
        return limits
    if obstacle := control_groups.find_obstacle(blocks):
        complain(blocks, "ignored", obstacle)
        return limits
    if not control_groups.limits_buffered_writes():
        reason = "control groups of version 1 do not limit writes that the kernel delays"
        complain(blocks, "modified", reason)
    return msgspec.structs.replace(limits, **chosen_blocks)


def _fit_rlimit(limit: Rlimit, complaints: list[Complaint]) -> Rlimit:
    _, own_limit = resource.getrlimit(getattr(resource, f"RLIMIT_{limit.name.upper()}"))
    if own_limit == resource.RLIM_INFINITY or (limit.hard != -1 and limit.hard <= own_limit):
        return limit
    complaints.append(
        Complaint(f"--ulimit {limit.name}", "modified", f"your own hard limit is {own_limit}, see ulimit -H")
    )
    return Rlimit(limit.name, own_limit if limit.soft == -1 else min(limit.soft, own_limit), own_limit)


def _fit_oom_score(score: int | None, complaints: list[Complaint]) -> int | None:
    own_score = 0
    with suppress(OSError, ValueError):
        own_score = int(Path("/proc/self/oom_score_adj").read_text())
    if score is None or score >= own_score:
        return score
    complaints.append(
        Complaint("--oom-score-adj", "modified", f"only root can go below your own, {own_score}")
    )
    return own_score


def _check_apparmor(profile: str) -> None:
    loaded = ""
    with suppress(OSError):
        loaded = Path("/sys/kernel/security/apparmor/profiles").read_text(errors="replace")
    if not any(line.rpartition(" (")[0] == profile for line in split_lines(loaded)):
        enabled = Path("/sys/module/apparmor/parameters/enabled").exists()
        reason = "it is not loaded" if enabled else "AppArmor is not enabled on this machine"
        raise SandboxError(
            f"cannot confine the program by the AppArmor profile {profile[:80]!r}: {reason}",
            hint="load it with apparmor_parser, or omit --security-opt apparmor=",
        )


def _has_capability(number: int) -> bool:
    with suppress(OSError, ValueError), Path("/proc/self/status").open(errors="replace") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return bool(int(line[7:], 16) >> number & 1)
    return os.geteuid() == 0
