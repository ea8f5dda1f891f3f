"""How a process enters a control group (cgroups(7))."""

from __future__ import annotations

import os


def members_path(group: str) -> str:
    """Return the file of a control group to which a process with one thread writes 0 to enter it.

    In version 1, this is ``tasks``: a write to ``cgroup.procs`` stops the creation of processes on the whole
    machine, for which the kernel waits about 10 ms.
    """
    tasks = f"{group}/tasks"
    return tasks if os.path.exists(tasks) else f"{group}/cgroup.procs"
