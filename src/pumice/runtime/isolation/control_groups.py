"""Control groups (cgroups(7)): version 1, also in hybrid mode, and version 2.

Every container has groups of its own below a group ``pumice``, which is below that of the caller. Whoever
made a group holds a lock on it, so groups that a killed process left behind are recognized and removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.errors import SandboxError
from pumice.runtime.isolation.model import DEFAULT_PIDS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pumice.runtime.container import Container

PARENT = "pumice"
_PERIOD = 100_000
_REMOVAL_TRIES = 200
_SUPERVISOR = "pumice-supervisor"


class Hierarchy(msgspec.Struct, frozen=True):
    """A mounted hierarchy: the controllers that it has for us, and the directory of our own group in it."""

    version: int
    controllers: frozenset[str]
    own: Path
    mount_point: Path


class ControlGroup:
    """The control groups of one container, which are removed when its context ends."""

    def __init__(self) -> None:
        self.directories: list[Path] = []
        self._locks: list[int] = []

    def add(self, directory: Path) -> None:
        """Create a group; its lock tells `remove_abandoned` that it is in use."""
        while True:
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            try:
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:  # removed in between
                continue
            with suppress(OSError):  # a kernel without locks on cgroup files
                # Only a collection can hold it, for a moment, and then the group is gone.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if directory.exists():
                break
            os.close(descriptor)
        self.directories.append(directory)
        self._locks.append(descriptor)

    def open_members(self) -> tuple[int, ...]:
        """Return descriptors of the files ``cgroup.procs``, through which processes enter."""
        return open_members_of(self.directories)

    def ran_out_of_memory(self) -> bool:
        """Return whether processes were killed, or may have been, because no memory was left.

        In version 1, kills in the group of an engine below ours count there only, and it is gone by now.
        """
        count = 0
        for directory in self.directories:
            for name in ("memory.oom_control", "memory.events"):
                with suppress(OSError, ValueError):
                    for line in (directory / name).read_text().splitlines():
                        key, _, value = line.partition(" ")
                        count += int(value) if key == "oom_kill" else 0
            with suppress(OSError, ValueError):
                usage, limit = (
                    int((directory / f"memory.{name}_in_bytes").read_text())
                    for name in ("max_usage", "limit")
                )
                count += usage >= limit
        return count > 0

    @property
    def locks(self) -> tuple[int, ...]:
        """The descriptors that lock the groups; a process that inherits them holds the locks, too."""
        return tuple(self._locks)

    def release(self) -> None:
        """Leave the groups to a process that has inherited the locks: `close` does not remove them."""
        for descriptor in self._locks:
            os.close(descriptor)
        self.directories, self._locks = [], []

    def close(self) -> None:
        """Remove the groups, the deepest first, and the parent of the last container."""
        for directory in self.directories:
            _remove(directory)
        for descriptor in self._locks:
            os.close(descriptor)
        for directory in self.directories:
            with suppress(OSError):  # another container uses it
                directory.parent.rmdir()
        self.directories, self._locks = [], []


def open_members_of(directories: Iterable[Path]) -> tuple[int, ...]:
    """Return descriptors of the files ``cgroup.procs`` of groups."""
    return tuple(os.open(directory / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for directory in directories)


def _remove(directory: Path) -> None:
    """Remove a group and those that an engine created in it, the deepest first."""
    with suppress(OSError):
        for child in [entry for entry in directory.iterdir() if entry.is_dir()]:
            _remove(child)
    for _ in range(_REMOVAL_TRIES):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(0.002)  # the kernel still ends the last processes
        else:
            return


@contextmanager
def limited(container: Container) -> Iterator[tuple[Container, ControlGroup]]:
    """Create the control groups of a container, and yield it with the descriptors of their files.

    The groups are removed when the context ends. Without limits, or where only the default ones apply and
    cannot be set, there are none. Raises SandboxError if a limit cannot be set.
    """
    group = ControlGroup()
    limits = container.isolation.limits
    try:
        create_or_explain(group, [limits], lambda: _create(group, limits))
        yield msgspec.structs.replace(container, cgroups=group.open_members()), group
    finally:
        group.close()


def create_or_explain(group: ControlGroup, limits: Sequence[Limits], create: Callable[[], None]) -> None:
    """Call ``create`` unless nothing is limited; raises SandboxError if a limit cannot be set."""
    if all(limit == Limits(pids=0) for limit in limits):
        return
    try:
        create()
    except OSError as error:
        group.close()
        if any(limit != Limits() for limit in limits):
            raise SandboxError(
                f"cannot limit the container with control groups: {(error.strerror or '').lower()}",
                where=str(error.filename or "")[:200] or None,
                hint="omit --memory, --cpus, --cpu-shares and --pids-limit",
            ) from None


def find_obstacle(limits: Limits) -> str:
    """Return why the limits cannot be set here, ``""`` if they can."""
    hierarchies = find_hierarchies()
    for controller in needed_controllers(limits):
        usable = [hierarchy for hierarchy in hierarchies if controller in hierarchy.controllers]
        if not usable:
            return f"this machine has no control group for {controller}"
        parent = _parent(usable[0])
        existing = parent if parent.exists() else parent.parent
        if not os.access(existing, os.W_OK):
            return f"you may not create control groups in {existing}"
    return ""


def needed_controllers(limits: Limits) -> list[str]:
    """Return the controllers that limits need."""
    pids = DEFAULT_PIDS if limits.pids is None else limits.pids
    wanted = {"memory": limits.memory, "cpu": limits.cpus or limits.cpu_shares, "pids": pids}
    return [controller for controller, limit in wanted.items() if limit]


def _create(group: ControlGroup, limits: Limits) -> None:
    for hierarchy, controllers, directory in plan_groups(needed_controllers(limits)):
        if hierarchy.version == 2:
            enable_controllers(hierarchy, directory.parent, controllers)
        group.add(directory)
        set_limits(directory, limits, hierarchy.version, controllers)


def plan_groups(needed: list[str]) -> Iterator[tuple[Hierarchy, list[str], Path]]:
    """Yield each hierarchy that is needed with its controllers and the directory of a new group in it.

    Raises OSError if this machine lacks a controller.
    """
    name = f"{os.getpid()}-{files.scratch_name()}"
    hierarchies = find_hierarchies()
    for hierarchy in hierarchies:
        controllers = [controller for controller in needed if controller in hierarchy.controllers]
        if controllers:
            parent = _parent(hierarchy)
            remove_abandoned(parent)
            yield hierarchy, controllers, parent / name
    missing = set(needed) - {name for item in hierarchies for name in item.controllers}
    if missing:
        raise OSError(errno.ENODEV, f"there is no control group for {', '.join(sorted(missing))}")


def set_limits(directory: Path, limits: Limits, version: int, controllers: list[str]) -> None:
    """Write limits to the files of a group; raises OSError."""
    for file, value in _settings(limits, version, controllers):
        _set(directory / file, value)


def _settings(limits: Limits, version: int, controllers: list[str]) -> Iterator[tuple[str, str]]:
    """Yield files of a group and what is written to them."""
    pids = DEFAULT_PIDS if limits.pids is None else limits.pids
    if "pids" in controllers:
        yield "pids.max", str(pids)
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


def _set(path: Path, value: str) -> None:
    # A kernel without accounting of swap has no such file, and then swap is not limited.
    if path.name in ("memory.memsw.limit_in_bytes", "memory.swap.max") and not path.exists():
        return
    with path.open("w") as file:
        file.write(value)


def enable_controllers(hierarchy: Hierarchy, parent: Path, controllers: list[str]) -> None:
    """Enable controllers for the children of each group from the top of ours to ``parent`` (version 2).

    A group with processes cannot have them. So the processes of a delegated group move to a child.
    """
    parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    top = hierarchy.own if hierarchy.own in parent.parents else hierarchy.mount_point
    words = " ".join(f"+{name}" for name in controllers)
    for directory in reversed([parent, *parent.parents]):
        if directory != top and top not in directory.parents:
            continue
        control = directory / "cgroup.subtree_control"
        if set(controllers) <= set(control.read_text().split()):
            continue
        try:
            _set(control, words)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            _move_processes(directory)
            _set(control, words)


def _move_processes(directory: Path) -> None:
    child = directory / _SUPERVISOR
    child.mkdir(mode=0o755, exist_ok=True)
    for process in (directory / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            _set(child / "cgroup.procs", process)


def _parent(hierarchy: Hierarchy) -> Path:
    """Return the group of which those of containers are children.

    Root uses the top of version 2, because a group with processes, such as that of a session, cannot have
    controllers for its children.
    """
    if hierarchy.version == 2 and os.access(hierarchy.mount_point / "cgroup.procs", os.W_OK):
        return hierarchy.mount_point / PARENT
    own = hierarchy.own
    return (own.parent if own.name == _SUPERVISOR else own) / PARENT


def remove_abandoned(parent: Path) -> int:
    """Remove the groups below ``parent`` whose containers and makers are gone; return their number."""
    count = 0
    with suppress(OSError):
        for directory in [entry for entry in parent.iterdir() if entry.is_dir()]:
            with suppress(OSError):
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if not any(path.read_text() for path in directory.rglob("cgroup.procs")):
                        _remove(directory)
                        count += 1
                finally:
                    os.close(descriptor)
    return count


def remove_all_abandoned() -> None:
    """Remove the abandoned groups of all hierarchies, and their parents if nothing else is in them."""
    for hierarchy in find_hierarchies():
        parent = _parent(hierarchy)
        if remove_abandoned(parent):
            with suppress(OSError):
                parent.rmdir()


def find_hierarchies(proc: Path = Path("/proc/self")) -> list[Hierarchy]:
    """Return the hierarchies that are mounted and visible to this process."""
    own = _read_own_groups(proc / "cgroup")
    hierarchies = []
    with suppress(OSError), (proc / "mountinfo").open(errors="surrogateescape") as file:
        for line in file:
            fields = line.split(" ")
            kind, options = fields[fields.index("-") + 1], fields[-1].strip().split(",")
            if kind not in ("cgroup", "cgroup2"):
                continue
            mount_point = Path(fields[4])
            if kind == "cgroup2":
                with suppress(OSError):
                    controllers = frozenset((mount_point / "cgroup.controllers").read_text().split())
                    group = _below(mount_point, fields[3], own.get("", "/"))
                    hierarchies.append(Hierarchy(2, controllers, group, mount_point))
                continue
            controllers = frozenset(option for option in options if option in own)
            for controller in list(controllers)[:1]:
                group = _below(mount_point, fields[3], own[controller])
                hierarchies.append(Hierarchy(1, controllers, group, mount_point))
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
