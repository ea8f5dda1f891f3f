"""The processes of a container, found below its supervisor."""

from __future__ import annotations

import os

_MAX_PROCESSES = 100_000


def list_members(supervisor: int, depth: int) -> list[tuple[int, int, int]]:
    """Return the processes of a container, parents first: number, number in the container, and parent.

    ``depth`` is how many PID namespaces the sandbox nests.
    """
    members = []
    pending = [(supervisor, 0)]
    for _ in range(_MAX_PROCESSES):
        if not pending:
            break
        pid, parent = pending.pop(0)
        try:
            inner_pids = _read_inner_pids(pid)
            if len(inner_pids) >= depth:
                members.append((pid, inner_pids[depth - 1], parent))
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    pending += [(int(child), pid) for child in file.read().split()]
        except (OSError, ValueError):  # it has ended
            continue
    return members


def _read_inner_pids(pid: int) -> list[int]:
    """Return the numbers of a process in the PID namespaces below ours, the outermost first (proc(5))."""
    with open(f"/proc/{pid}/status", errors="replace") as file:
        for line in file:
            if line.startswith("NSpid:"):
                return list(map(int, line.split()[2:]))
    return []


def find_program(supervisor: int, depth: int, has_init: bool) -> int | None:
    """Return the program of a container: its process 1, or the first child of its init."""
    members = list_members(supervisor, depth)
    first = next((pid for pid, inner_pid, _ in members if inner_pid == 1), None)
    if first is None or not has_init:
        return first
    return next((pid for pid, _, parent in members if parent == first), None)
