"""The processes of a container, found below its supervisor."""

from __future__ import annotations

import os

_MAX_PROCESSES = 100_000


def list_members(sandbox: int, depth: int) -> list[tuple[int, int, int]]:
    """Return the processes of a container, parents first: number, number in the container, and parent.

    ``sandbox`` is the process that was started for it, and ``depth`` how many PID namespaces that nests. If
    it nests none, those of the container have other mounts.
    """
    members = []
    own_mounts = _read_mount_namespace(sandbox) if not depth else ""
    pending = [(sandbox, 0)]
    for _ in range(_MAX_PROCESSES):
        if not pending:
            break
        pid, parent = pending.pop(0)
        try:
            inner_pids = [pid, *_read_inner_pids(pid)]
            if len(inner_pids) > depth and (depth or _read_mount_namespace(pid) != own_mounts):
                members.append((pid, inner_pids[depth], parent))
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    pending += [(int(child), pid) for child in file.read().split()]
        except (OSError, ValueError):  # it has ended
            continue
    return members


def _read_mount_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return ""


def _read_inner_pids(pid: int) -> list[int]:
    """Return the numbers of a process in the PID namespaces below ours, the outermost first (proc(5))."""
    with open(f"/proc/{pid}/status", errors="replace") as file:
        for line in file:
            if line.startswith("NSpid:"):
                return list(map(int, line.split()[2:]))
    return []


def find_program(sandbox: int, depth: int, generations: int) -> int | None:
    """Return the program of a container: its first process, or one that is so many generations below it.

    Those between them are an init, or what isolates the program, and have one child.
    """
    members = list_members(sandbox, depth)
    program = members[0][0] if members else None
    for _ in range(generations):
        program = next((pid for pid, _, parent in members if program and parent == program), None)
    return program
