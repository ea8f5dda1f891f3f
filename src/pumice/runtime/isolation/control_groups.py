"""Which control groups a container gets (cgroups(7)): version 1, also in hybrid mode, and version 2.

Every container has groups of its own below a group ``pumice``, which is below that of the caller;
`launch.control_groups` creates and removes them.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError
from pumice.runtime.isolation.model import DEFAULT_PIDS, UNLIMITED, Limits
from pumice.runtime.launch.control_groups import SUPERVISOR, remove_abandoned
from pumice.runtime.launch.model import GroupPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

PARENT = "pumice"
_PERIOD = 100_000
_BLOCK, _BLOCK_V1 = "io", "blkio"
"""The controller of block devices in version 2, which stands for both, and in version 1."""


class Hierarchy(msgspec.Struct, frozen=True):
    """A mounted hierarchy: the controllers that it has for us, and the directory of our own group in it."""

    version: int
    controllers: frozenset[str]
    own_directory: Path
    mount_point: Path


def plan_groups(limits: Limits, pod_limits: Limits = UNLIMITED) -> tuple[GroupPlan, ...]:
    """Return the control groups for the limits of a container and of its pod.

    Raises SandboxError if this machine cannot have one of them. Where only the default limits apply and
    cannot be set, there are none.
    """
    if limits == pod_limits == UNLIMITED:
        return ()
    hierarchies = find_hierarchies()
    needed = {*_needed(limits), *_needed(pod_limits)}
    missing = needed - {name for item in hierarchies for name in item.controllers}
    if not missing:
        return tuple(_plan(limits, pod_limits, hierarchies))
    if not are_required(limits, pod_limits):
        return ()
    raise SandboxError(
        "cannot limit the container with control groups: there is no control group for"
        f" {', '.join(sorted(missing))}",
        hint="omit --memory, --cpus, --cpu-shares and --pids-limit",
    )


def are_required(limits: Limits, pod_limits: Limits = UNLIMITED) -> bool:
    """Return whether it is an error that the groups of `plan_groups` cannot be created."""
    return limits != Limits() or pod_limits != UNLIMITED


def find_obstacle(limits: Limits) -> str:
    """Return why the limits cannot be set here, ``""`` if they can."""
    hierarchies = find_hierarchies()
    for controller in _needed(limits):
        usable = [hierarchy for hierarchy in hierarchies if controller in hierarchy.controllers]
        if not usable:
            return f"this machine has no control group for {controller}"
        if controller == _BLOCK and not list_block_devices():
            return "this machine has no block devices"
        parent = find_parent(usable[0])
        existing = parent if parent.exists() else parent.parent
        if not os.access(existing, os.W_OK):
            return f"you may not create control groups in {existing}"
    return ""


def _needed(limits: Limits) -> list[str]:
    pids = DEFAULT_PIDS if limits.pids is None else limits.pids
    blocks = limits.block_bandwidth or limits.block_operations
    limits_by_controller = {
        "memory": limits.memory,
        "cpu": limits.cpus or limits.cpu_shares,
        "pids": pids,
        _BLOCK: blocks,
    }
    return [controller for controller, limit in limits_by_controller.items() if limit]


def _plan(limits: Limits, pod_limits: Limits, hierarchies: list[Hierarchy]) -> Iterator[GroupPlan]:
    needed = dict.fromkeys((*_needed(limits), *_needed(pod_limits)))
    for hierarchy in hierarchies:
        controllers = [name for name in needed if name in hierarchy.controllers]
        if controllers:
            parent = find_parent(hierarchy)
            top = (
                hierarchy.own_directory
                if hierarchy.own_directory in parent.parents
                else hierarchy.mount_point
            )
            settings, pod_settings = (
                tuple(_settings(each, hierarchy.version, hierarchy.controllers))
                for each in (limits, pod_limits)
            )
            where = (hierarchy.version, str(parent), str(top))
            yield GroupPlan(*where, controllers, settings, pod_settings)


def _settings(limits: Limits, version: int, available: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield files of a group and what is written to them."""
    pids = DEFAULT_PIDS if limits.pids is None else limits.pids
    controllers = available.intersection(_needed(limits))
    if "pids" in controllers:
        yield "pids.max", str(pids)
    if _BLOCK in controllers:
        yield from _block_settings(limits, version)
    if "memory" in controllers and version == 1:
        yield "memory.limit_in_bytes", str(limits.memory)
        yield "memory.memsw.limit_in_bytes", str(limits.memory)
    elif "memory" in controllers:
        yield "memory.max", str(limits.memory)
        yield "memory.swap.max", "0"
    if "cpu" not in controllers:
        return
    quota = limits.cpus * _PERIOD // 1000
    if limits.cpus and version == 1:
        yield "cpu.cfs_period_us", str(_PERIOD)
        yield "cpu.cfs_quota_us", str(quota)
    elif limits.cpus:
        yield "cpu.max", f"{quota} {_PERIOD}"
    if limits.cpu_shares and version == 1:
        yield "cpu.shares", str(limits.cpu_shares)
    elif limits.cpu_shares:
        yield "cpu.weight", str(1 + (limits.cpu_shares - 2) * 9999 // 262142)


def _block_settings(limits: Limits, version: int) -> Iterator[tuple[str, str]]:
    """Yield the limits of each block device, which the kernel takes one at a time."""
    numbers = {"bps": limits.block_bandwidth, "iops": limits.block_operations}
    chosen = {unit: number for unit, number in numbers.items() if number}
    for device in list_block_devices():
        if version == 2:
            words = [f"{way}{unit}={number}" for unit, number in chosen.items() for way in "rw"]
            yield "io.max", f"{device} {' '.join(words)}"
            continue
        for unit, number in chosen.items():
            for way in ("read", "write"):
                yield f"blkio.throttle.{way}_{unit}_device", f"{device} {number}"


def list_block_devices(system: Path = Path("/sys/block")) -> list[str]:
    """Return the numbers, such as ``8:0``, of all disks that have a size; they include their partitions."""
    devices = []
    with suppress(OSError):
        for directory in sorted(system.iterdir()):
            with suppress(OSError, ValueError):
                if int((directory / "size").read_text()):
                    devices.append((directory / "dev").read_text().strip())
    return devices


def limits_buffered_writes() -> bool:
    """Return whether limits of block devices also count for writes that the kernel delays."""
    return any(item.version == 2 and _BLOCK in item.controllers for item in find_hierarchies())


def find_parent(hierarchy: Hierarchy) -> Path:
    """Return the group of which those of containers are children.

    Root uses the top of version 2, because a group with processes, such as that of a session, cannot have
    controllers for its children.
    """
    if hierarchy.version == 2 and os.access(hierarchy.mount_point / "cgroup.procs", os.W_OK):
        return hierarchy.mount_point / PARENT
    own_directory = hierarchy.own_directory
    return (own_directory.parent if own_directory.name == SUPERVISOR else own_directory) / PARENT


def remove_all_abandoned() -> None:
    """Remove the abandoned groups of all hierarchies, and their parents if nothing else is in them."""
    for hierarchy in find_hierarchies():
        parent = find_parent(hierarchy)
        if remove_abandoned(str(parent)):
            with suppress(OSError):
                parent.rmdir()


def find_hierarchies(proc: Path = Path("/proc/self"), viewer: Path | None = None) -> list[Hierarchy]:
    """Return the hierarchies that are mounted, with the groups of a process.

    The process has the directory ``proc`` in /proc; the mounts are those that ``viewer`` sees, else its own.
    """
    own_groups = _read_own_groups(proc / "cgroup")
    hierarchies = []
    with suppress(OSError), ((viewer or proc) / "mountinfo").open(errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            kind, options = fields[fields.index("-") + 1], fields[-1].strip().split(",")
            if kind not in ("cgroup", "cgroup2"):
                continue
            mount_point = Path(fields[4])
            if kind == "cgroup2":
                with suppress(OSError):
                    controllers = frozenset((mount_point / "cgroup.controllers").read_text().split())
                    group = _below(mount_point, fields[3], own_groups.get("", "/"))
                    hierarchies.append(Hierarchy(2, controllers, group, mount_point))
                continue
            controllers = frozenset(option for option in options if option in own_groups)
            for controller in list(controllers)[:1]:
                group = _below(mount_point, fields[3], own_groups[controller])
                names = frozenset(_BLOCK if name == _BLOCK_V1 else name for name in controllers)
                hierarchies.append(Hierarchy(1, names, group, mount_point))
    return hierarchies


def _read_own_groups(path: Path) -> dict[str, str]:
    """Return the path of this process's group by controller; that of version 2 has the name ``""``."""
    groups = {}
    with suppress(OSError):
        for line in path.read_text().splitlines():
            _, names, group = line.split(":", 2)
            groups.update(dict.fromkeys(names.split(","), group))
    return groups


def _below(mount_point: Path, root: str, group: str) -> Path:
    """Return the directory of ``group`` in a mount whose root is the group ``root``."""
    relative = os.path.relpath(group, root)
    return mount_point if relative.startswith("..") else mount_point / relative
