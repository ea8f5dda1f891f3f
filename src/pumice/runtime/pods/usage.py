"""What a running pod uses of the machine: from its control groups, else from its processes (proc(5))."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.runtime.isolation import control_groups
from pumice.runtime.pods import processes

if TYPE_CHECKING:
    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.pods.processes import PodProcess

_MAX_FILE = 1 << 20


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a pod used until now. Numbers are bytes, and processes.

    ``clock`` is when it was measured, and ``age`` how long the program has been running then, in seconds.
    ``memory_limit`` is that of the machine if the pod has none. The network is None if it is
    that of the machine.
    """

    clock: float
    age: float
    cpu_seconds: float
    memory: int
    memory_limit: int
    network_received: int | None
    network_sent: int | None
    block_read: int
    block_written: int
    pids: int


def measure(state: PodState) -> Usage:
    """Return what a running pod uses; raises PodError if it does not run.

    Control groups also count processes that have ended. They exist for limits that were set, so the rest is
    the sum of what the processes report.
    """
    listed = processes.list_container_processes(state)
    program = processes.find_program(state)
    groups = find_own_groups(program, state.pod.name if state.pod.app_of else "")
    memory = _read_number(groups, "memory.usage_in_bytes", "memory.current")
    limit = _read_number(groups, "memory.limit_in_bytes", "memory.max")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    received, sent = _network(program)
    blocks = [_read_blocks(process) for process in listed]
    cpu = _read_cpu(groups)
    return Usage(
        clock=time.monotonic(),
        age=max((_age(process) for process in listed), default=0.0),
        cpu_seconds=sum(map(_cpu_seconds, listed)) if cpu is None else cpu,
        memory=sum(map(_memory, listed)) if memory is None else memory,
        memory_limit=min(limit or total, total),
        network_received=received,
        network_sent=sent,
        block_read=sum(read for read, _ in blocks),
        block_written=sum(written_bytes for _, written_bytes in blocks),
        pids=_read_number(groups, "pids.current") or len(listed),
    )


def find_own_groups(program: int | None, app: str) -> list[Path]:
    """Return the control groups that were created for a container, or for the app of a pod of several.

    They are those below a group of `PARENT`; an app has one below that of its pod.
    """
    if not program:
        return []
    own = []
    for hierarchy in control_groups.find_hierarchies(Path(f"/proc/{program}"), Path("/proc/self")):
        parts = hierarchy.own_directory.relative_to(hierarchy.mount_point).parts
        if control_groups.PARENT in parts[:-1]:
            start = parts.index(control_groups.PARENT) + 1
            count = 2 if app and parts[start + 1 : start + 2] == (app,) else 1
            own.append(hierarchy.mount_point.joinpath(*parts[: start + count]))
    return own


def _read_number(groups: list[Path], *names: str) -> int | None:
    """Return the number in the first of the files that exists; ``max`` is None."""
    for directory in groups:
        for name in names:
            with suppress(OSError, ValueError):
                return int((directory / name).read_text())
    return None


def _read_cpu(groups: list[Path]) -> float | None:
    """Return the processor time in seconds that control groups have counted, None if none has."""
    nanoseconds = _read_number(groups, "cpuacct.usage")
    if nanoseconds is not None:
        return nanoseconds / 1e9
    for directory in groups:
        with suppress(OSError, ValueError, IndexError):
            fields = dict(line.split() for line in (directory / "cpu.stat").read_text().splitlines())
            if "usage_usec" in fields:
                return int(fields["usage_usec"]) / 1e6
    return None


def _read_file(process: PodProcess, name: str) -> str:
    """Return a file of a process, ``""`` if it has ended or belongs to another user."""
    with suppress(OSError), Path(f"/proc/{process.pid}/{name}").open("rb") as file:
        return file.read(_MAX_FILE).decode(errors="replace")
    return ""


def _stat_fields(process: PodProcess) -> list[str]:
    """Return the fields of ``stat`` from the state on; zeros for a process that has ended."""
    return _read_file(process, "stat").rpartition(")")[2].split() or ["0"] * 50


def _cpu_seconds(process: PodProcess) -> float:
    """Return the processor time of a process and of its children that have ended."""
    return sum(map(int, _stat_fields(process)[11:15])) / os.sysconf("SC_CLK_TCK")


def _age(process: PodProcess) -> float:
    start = int(_stat_fields(process)[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - start / os.sysconf("SC_CLK_TCK") if start else 0.0


def _memory(process: PodProcess) -> int:
    """Return the memory of a process with its part of what it shares, or else all that is resident."""
    for line in _read_file(process, "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    return int(_stat_fields(process)[21]) * os.sysconf("SC_PAGE_SIZE")


def _read_blocks(process: PodProcess) -> tuple[int, int]:
    """Return the bytes that a process read from and wrote to disks."""
    fields = dict(line.split(": ") for line in _read_file(process, "io").splitlines() if ": " in line)
    return int(fields.get("read_bytes", 0)), int(fields.get("write_bytes", 0))


def _network(program: int | None) -> tuple[int | None, int | None]:
    """Return what the devices of a pod's own network received and sent."""
    try:
        own = Path(f"/proc/{program}/ns/net").stat().st_ino
        if own == Path("/proc/self/ns/net").stat().st_ino:
            return None, None
        lines = Path(f"/proc/{program}/net/dev").read_text(errors="replace").splitlines()[2:]
    except OSError:
        return None, None
    received = sent = 0
    for line in lines:
        name, _, numbers = line.partition(":")
        if name.strip() != "lo":
            fields = numbers.split()
            received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent
