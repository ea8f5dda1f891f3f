"""Runs in a virtual machine, whose control groups are of version 2, and prints what it finds as JSON."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = "/sys/fs/cgroup"


def run_in_groups(limits: Any, action: Callable[[], object]) -> dict[str, object]:
    """Run an action in the groups for limits; return what it had in them, and the exit code."""
    from pumice.runtime.isolation import control_groups
    from pumice.runtime.launch.control_groups import create_groups, open_members
    from pumice.runtime.sandbox.memory_watch import MemoryWatch

    group = create_groups(control_groups.plan_groups(limits), required=True)
    members = open_members(group.directories)
    child = os.fork()
    if child == 0:
        for descriptor in members:
            os.write(descriptor, b"0")
        action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    directory = Path(group.directories[0])
    names = ("memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight")
    existing = [name for name in names if (directory / name).exists()]
    values = {name: (directory / name).read_text().strip() for name in existing}
    memory_explanation = MemoryWatch(group.directories).explain_kill()
    group.close()
    return {
        "values": values,
        "code": os.waitstatus_to_exitcode(status),
        "out of memory": memory_explanation,
        "below": str(directory).startswith(f"{ROOT}/pumice/"),
        "removed": not directory.exists() and not Path(ROOT, "pumice").exists(),
    }


def use_memory() -> None:
    """Use more than 32 MiB."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bytearray(100 << 20)


def fork_many() -> None:
    """End with exit code 7 if there cannot be 30 processes."""
    children = []
    try:
        for _ in range(30):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except BlockingIOError:
        code = 7
    else:
        code = 8
    for child in children:
        os.kill(child, signal.SIGKILL)
    os._exit(code)


def main() -> None:
    """Mount the hierarchy and try all limits."""
    from pumice.runtime.isolation import control_groups
    from pumice.runtime.isolation.model import Limits

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", ROOT.encode(), b"cgroup2", 0, None):
        sys.exit(f"cannot mount cgroup2: {os.strerror(ctypes.get_errno())}")
    hierarchies = control_groups.find_hierarchies()
    everything = {"memory": 64 << 20, "cpus": 250, "cpu_shares": 512, "pids": 99}
    report = {
        "versions": [hierarchy.version for hierarchy in hierarchies],
        "obstacle": control_groups.find_obstacle(Limits(**everything)),
        "all": run_in_groups(Limits(**everything), lambda: None),
        "memory": run_in_groups(Limits(memory=32 << 20, pids=0), use_memory),
        "pids": run_in_groups(Limits(pids=20), fork_many),
    }
    json.dump(report, sys.stdout)


main()
