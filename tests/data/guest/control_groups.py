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


def run_in_groups(container: Any, action: Callable[[], object]) -> dict[str, object]:
    """Run an action in the groups of a container; return what it had in them, and the exit code."""
    from pumice.runtime.isolation import control_groups

    with control_groups.limited(container) as (limited, group):
        child = os.fork()
        if child == 0:
            for descriptor in limited.cgroups:
                os.write(descriptor, b"0")
            action()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        names = ("memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight")
        directory = group.directories[0]
        values = {
            name: (directory / name).read_text().strip() for name in names if (directory / name).exists()
        }
        killed = group.ran_out_of_memory()
        path = str(directory)
    return {
        "values": values,
        "code": os.waitstatus_to_exitcode(status),
        "out of memory": killed,
        "below": path.startswith(f"{ROOT}/pumice/"),
        "removed": not Path(path).exists() and not Path(ROOT, "pumice").exists(),
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
    from pumice.runtime.container import Container, Process
    from pumice.runtime.isolation import control_groups
    from pumice.runtime.isolation.model import Isolation, Limits

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", ROOT.encode(), b"cgroup2", 0, None):
        sys.exit(f"cannot mount cgroup2: {os.strerror(ctypes.get_errno())}")
    process = Process(arguments=("true",), environment={})

    def container(**limits: int) -> Container:
        return Container(root="/", process=process, isolation=Isolation(limits=Limits(**limits)))

    hierarchies = control_groups.find_hierarchies()
    everything = {"memory": 64 << 20, "cpus": 250, "cpu_shares": 512, "pids": 99}
    report = {
        "versions": [hierarchy.version for hierarchy in hierarchies],
        "obstacle": control_groups.find_obstacle(Limits(**everything)),
        "all": run_in_groups(container(**everything), lambda: None),
        "memory": run_in_groups(container(memory=32 << 20, pids=0), use_memory),
        "pids": run_in_groups(container(pids=20), fork_many),
    }
    json.dump(report, sys.stdout)


main()
