"""Freezing processes with control groups (cgroups(7)), version 1 and version 2.

Where the processes have a group of their own that can be frozen, it is frozen. Else they move to a new one,
and back when they go on. A file with the path of the group tells that they are frozen, see
`supervisor.frozen`.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import files
from pumice.runtime.isolation import control_groups
from pumice.runtime.launch.control_groups import ControlGroup
from pumice.runtime.pods.supervisor import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    ListProcesses = Callable[[], set[int]]

_TRIES = 5
_MAX_ROUNDS = 1000
_FREEZE_SECONDS, _POLL_SECONDS = 10.0, 0.002
_STATES = {frozen.VERSION_1: ("FROZEN", "THAWED"), frozen.VERSION_2: ("1", "0")}
"""The file of a group, and what is written to it to freeze and to thaw it."""


def freeze(record: Path, program: int, list_processes: ListProcesses) -> None:
    """Freeze processes, of which ``program`` is one, and write the file ``record``.

    Raises OSError if that is not possible here, and TimeoutError if the processes do not freeze.
    """
    group, origin = _find_own_group(program, list_processes), ""
    new_group = ControlGroup()  # its lock keeps collections from it while it is empty
    try:
        if not group:
            group, origin = _create_group(program, new_group)
        _freeze_group(record, group, origin, list_processes)
    finally:
        new_group.release()


def _freeze_group(record: Path, group: str, origin: str, list_processes: ListProcesses) -> None:
    try:
        files.replace(record, os.fsencode(f"{group}\n{origin}\n"))
        _write(group, is_frozen=True)
        if origin:
            _move_in(group, list_processes)
        _wait_until_frozen(group)
    except BaseException:
        thaw(record)
        raise


def thaw(record: Path) -> None:
    """Let the processes go on that a file of `freeze` names, and remove it; raises OSError."""
    group, origin = frozen.read_record(str(record))
    if group and _is_control_group(group):
        try:
            # Frozen processes start no others, so that a moment comes when all have moved.
            if origin and _is_control_group(origin):
                _move_out(group, origin)
        finally:
            _write(group, is_frozen=False)
        if origin:
            _remove(group)
    record.unlink(missing_ok=True)


def _find_own_group(program: int, list_processes: ListProcesses) -> str:
    """Return a group that can be frozen and has exactly the processes, ``""`` if there is none."""
    for _ in range(_TRIES):  # processes start and end while they are listed
        members = list_processes()
        for hierarchy in control_groups.find_hierarchies(Path(f"/proc/{program}"), Path("/proc/self")):
            can_freeze = any((hierarchy.own_directory / name).exists() for name in _STATES)
            if can_freeze and _read_group(hierarchy.own_directory) == members:
                return str(hierarchy.own_directory)
    return ""


def _read_group(group: str | Path) -> set[int]:
    """Return the processes in a group and in those below it."""
    members: set[int] = set()
    for directory, _, _ in os.walk(group):
        with suppress(OSError):
            members.update(map(int, Path(directory, "cgroup.procs").read_text().split()))
    return members


def _create_group(program: int, new_group: ControlGroup) -> tuple[str, str]:
    """Create a group that can be frozen; return it, and the group of the program; raises OSError."""
    refusal = OSError(errno.ENOENT, "this machine has no control group that can be frozen")
    for hierarchy in control_groups.find_hierarchies():
        if "freezer" not in hierarchy.controllers and hierarchy.version == 1:
            continue
        group = control_groups.find_parent(hierarchy) / f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            new_group.add(str(group))
        except OSError as error:
            refusal = error
            continue
        origin = _find_group_of(program, hierarchy.mount_point)
        if origin and any((group / name).exists() for name in _STATES):
            return str(group), origin
        _remove(str(group))
    raise refusal


def _find_group_of(program: int, mount_point: Path) -> str:
    for hierarchy in control_groups.find_hierarchies(Path(f"/proc/{program}"), Path("/proc/self")):
        if hierarchy.mount_point == mount_point:
            return str(hierarchy.own_directory)
    return ""


def _move_in(group: str, list_processes: ListProcesses) -> None:
    """Move processes into a frozen group, until none starts outside; raises OSError."""
    for _ in range(_MAX_ROUNDS):
        outside = list_processes() - _read_group(group)
        if not outside:
            return
        for pid in outside:
            _move(pid, group)
    raise TimeoutError


def _move_out(group: str, origin: str) -> None:
    """Move all processes out of a group; raises OSError."""
    for _ in range(_MAX_ROUNDS):
        members = _read_group(group)
        if not members:
            return
        for pid in members:
            _move(pid, origin)


def _move(pid: int, group: str) -> None:
    try:
        Path(group, "cgroup.procs").write_text(str(pid))
    except ProcessLookupError:  # it has ended
        pass


def _write(group: str, *, is_frozen: bool) -> None:
    for name, (freezing, thawing) in _STATES.items():
        try:
            with Path(group, name).open("r+") as file:
                file.write(freezing if is_frozen else thawing)
        except OSError as error:
            # The group is of the other version, or a collection has removed it, which is empty then.
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise


def _wait_until_frozen(group: str) -> None:
    """Wait until all processes are frozen, which those in a system call of a slow device delay."""
    deadline = time.monotonic() + _FREEZE_SECONDS
    while not _has_frozen(group):
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_POLL_SECONDS)


def _has_frozen(group: str) -> bool:
    with suppress(FileNotFoundError):
        return Path(group, frozen.VERSION_1).read_text().strip() == "FROZEN"
    return "frozen 1" in Path(group, "cgroup.events").read_text()


def _is_control_group(path: str) -> bool:
    """Return whether a path is a group that exists: below the top of a mounted hierarchy, or the top."""
    tops = [hierarchy.mount_point for hierarchy in control_groups.find_hierarchies()]
    is_below = ".." not in Path(path).parts and any(Path(path).is_relative_to(top) for top in tops)
    return is_below and Path(path).is_dir()


def _remove(group: str) -> None:
    """Remove a group, and its parent if no other is there; a collection removes what is still in use."""
    for directory in (Path(group), Path(group).parent):
        with suppress(OSError):
            directory.rmdir()
