"""Start, list, stop and collect many pods with networks, and find what they leave behind."""

from __future__ import annotations

import itertools
import os
import select
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.networks import Machine

    Pumice = Callable[..., str]

_PROGRAM = pods.lasting_sleep()
_SECONDS = _PROGRAM.split()[1]
"""How long the programs would sleep; their command lines tell them from other processes."""
_PATIENCE = 60
"""Seconds."""
_STORE_DIRECTORIES = ("pods", "tmp", "networks/attachments")


@dataclass(frozen=True)
class Result:
    """How many pods were listed, what is left of them, and the seconds that each step took."""

    listed: int
    left: frozenset[str]
    start: float
    list: float
    stop: float
    collect: float


def run(pumice: Pumice, machine: Machine, store: Path, image: str, count: int) -> Result:
    """Run ``count`` pods of an image with ``sleep``; ``pumice`` runs a command and returns its output."""
    _start(pumice, image, "first")  # it unpacks the image and makes the bridge
    _end(pumice, ["first"], store)
    before = _snapshot(machine, store)
    names = [f"many-{number}" for number in range(count)]
    times = [time.perf_counter()]
    for name in names:
        _start(pumice, image, name)
    times.append(time.perf_counter())
    listed = len(set(names) & set(pumice("ps", "--format", "{{.Name}}").splitlines()))
    times.append(time.perf_counter())
    groups = {group for process in pods.processes_with(_PROGRAM) for group in _own_groups(process)}
    times.append(time.perf_counter())
    pumice("stop", "--time", "0", *names)
    times.append(time.perf_counter())
    _collect(pumice, store)
    times.append(time.perf_counter())
    left = (_snapshot(machine, store) - before) | {str(group) for group in groups if group.exists()}
    start, list_, _, stop, collect = (end - begin for begin, end in itertools.pairwise(times))
    return Result(listed, frozenset(left), start, list_, stop, collect)


def _start(pumice: Pumice, image: str, name: str) -> None:
    options = ("--network", "private", "--progress", "none")
    pumice("run", "--detach", *options, "--name", name, "--entrypoint", "/bin/sleep", image, _SECONDS)


def _end(pumice: Pumice, names: list[str], store: Path) -> None:
    pumice("stop", "--time", "0", *names)
    _collect(pumice, store)


def _collect(pumice: Pumice, store: Path) -> None:
    """Remove the pods, and wait for the processes that remove their networks."""
    pumice("gc", "--progress", "none", "--grace-period", "0")
    for process in _list_processes(store):
        try:
            descriptor = os.pidfd_open(process)
        except ProcessLookupError:
            continue
        select.select([descriptor], [], [], _PATIENCE)
        os.close(descriptor)


def _list_processes(store: Path) -> list[int]:
    """Return the processes of pods, and those of Pumice that know the store."""
    return [*pods.processes_with(_PROGRAM), *pods.processes_with(os.fspath(store))]


def _own_groups(process: int) -> set[Path]:
    """Return the control groups of a process that were made for its pod."""
    groups = set()
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if "/pumice/" in group:
            groups.add(Path(f"/sys/fs/cgroup/{controllers or '.'}{group}"))
    return groups


def _snapshot(machine: Machine, store: Path) -> frozenset[str]:
    """Return mounts, interfaces and rules of the machine, processes, and files of the store."""
    mounts = machine.run("cat", "/proc/self/mountinfo").splitlines()
    files = [path for name in _STORE_DIRECTORIES for path in (store / name).rglob("*") if path.is_dir()]
    return frozenset(
        (
            *machine.network_state().splitlines(),
            *(line.split(" ")[4] for line in mounts),
            *(f"process {process}" for process in _list_processes(store)),
            *map(os.fspath, files),
        )
    )
