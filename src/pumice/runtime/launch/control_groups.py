"""Creating and removing the control groups of one container (cgroups(7)).

Whoever made a group holds a lock on it, so groups that a killed process left behind are recognized.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from pumice.errors import SandboxError
from pumice.runtime.sandbox.group_members import members_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.launch.model import GroupPlan

SUPERVISOR = "pumice-supervisor"
"""The group to which the processes of a delegated group move, because a parent cannot have any."""
_REMOVAL_TRIES = 200


class ControlGroup:
    """The control groups of one container, which `close` removes."""

    def __init__(self) -> None:
        self.directories: list[str] = []
        self._locks: list[int] = []

    def add(self, directory: str) -> None:
        """Create a group; its lock tells `remove_abandoned` that it is in use."""
        while True:
            os.makedirs(directory, mode=0o755, exist_ok=True)
            try:
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:  # removed in between
                continue
            try:
                # Only a collection can hold it, for a moment, and then the group is gone.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError:  # a kernel without locks on cgroup files
                pass
            if os.path.exists(directory):
                break
            os.close(descriptor)
        self.directories.append(directory)
        self._locks.append(descriptor)

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
            try:
                os.rmdir(os.path.dirname(directory))
            except OSError:  # another container uses it
                pass
        self.directories, self._locks = [], []


def open_members(directories: Sequence[str]) -> tuple[int, ...]:
    """Return descriptors of the files through which processes with one thread enter groups."""
    return tuple(os.open(members_path(directory), os.O_WRONLY | os.O_CLOEXEC) for directory in directories)


def create_groups(plans: Sequence[GroupPlan], *, required: bool) -> ControlGroup:
    """Create the groups of a container; without ``required``, there are none where that fails.

    Raises SandboxError.
    """
    group = ControlGroup()
    try:
        for plan in plans:
            _create(group, plan)
    except OSError as error:
        group.close()
        if required:
            raise explain_error(error) from None
    return group


def explain_error(error: OSError) -> SandboxError:
    """Return the error for groups that cannot be created."""
    return SandboxError(
        f"cannot limit the container with control groups: {(error.strerror or '').lower()}",
        where=str(error.filename or "")[:200] or None,
        hint="omit --memory, --cpus, --cpu-shares and --pids-limit",
    )


def _create(group: ControlGroup, plan: GroupPlan) -> None:
    remove_abandoned(plan.parent)
    if plan.version == 2:
        enable_controllers(plan)
    directory = f"{plan.parent}/{os.getpid()}-{os.urandom(8).hex()}"
    group.add(directory)
    for file, value in plan.settings:
        write_setting(f"{directory}/{file}", value)


def _remove(directory: str) -> None:
    """Remove a group and those that an engine created in it, the deepest first."""
    for child in _list_directories(directory):
        _remove(child)
    for _ in range(_REMOVAL_TRIES):
        try:
            os.rmdir(directory)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(0.002)  # the kernel still ends the last processes
        else:
            return


def _list_directories(directory: str) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def remove_abandoned(parent: str) -> int:
    """Remove the groups below ``parent`` whose containers and makers are gone; return their number."""
    count = 0
    for directory in _list_directories(parent):
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _has_processes(directory):
                _remove(directory)
                count += 1
        except OSError:
            pass
        finally:
            os.close(descriptor)
    return count


def _has_processes(directory: str) -> bool:
    return bool(_read(f"{directory}/cgroup.procs")) or any(map(_has_processes, _list_directories(directory)))


def enable_controllers(plan: GroupPlan) -> None:
    """Enable controllers for the children of each group from the top of ours to the parent (version 2).

    A group with processes cannot have them. So the processes of a delegated group move to a child.
    """
    os.makedirs(plan.parent, mode=0o755, exist_ok=True)
    words = " ".join(f"+{name}" for name in plan.controllers)
    directories = [plan.parent]
    while directories[-1] != plan.top and len(directories[-1]) > 1:
        directories.append(os.path.dirname(directories[-1]))
    for directory in reversed(directories):
        control = f"{directory}/cgroup.subtree_control"
        with open(control) as file:
            if set(plan.controllers) <= set(file.read().split()):
                continue
        try:
            write_setting(control, words)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            _move_processes(directory)
            write_setting(control, words)


def _move_processes(directory: str) -> None:
    child = f"{directory}/{SUPERVISOR}"
    os.makedirs(child, mode=0o755, exist_ok=True)
    for process in _read(f"{directory}/cgroup.procs").split():
        try:
            write_setting(f"{child}/cgroup.procs", process)
        except ProcessLookupError:
            pass


def write_setting(path: str, value: str) -> None:
    """Write to a file of a group; raises OSError."""
    # A kernel without accounting of swap has no such file, and then swap is not limited.
    if path.endswith(("/memory.memsw.limit_in_bytes", "/memory.swap.max")) and not os.path.exists(path):
        return
    with open(path, "w") as file:
        file.write(value)


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
