"""Whether an app is paused: the record of ``pumice pause``, and what the kernel says (cgroups(7)).

The record is a file with two lines: the control group in which the processes are frozen, and the one to which
they return, which is empty if the frozen group is their own.
"""

from __future__ import annotations

import os

NAME = "paused"
"""The file in the directory of an app."""
VERSION_1, VERSION_2 = "freezer.state", "cgroup.freeze"
"""The files of a control group that freeze it."""
_MAX_RECORD = 16384


def read_record(path: str, directory: int | None = None) -> tuple[str, str]:
    """Return the frozen group and the one to return to, empty without a record."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)
    except OSError:
        return "", ""
    with open(descriptor, "rb") as file:
        group, _, origin = os.fsdecode(file.read(_MAX_RECORD)).partition("\n")
    return group, origin.rstrip("\n")


def is_paused(path: str, directory: int | None = None) -> bool:
    """Return whether the processes of the app with this record are frozen now."""
    group, _ = read_record(path, directory)
    return bool(group) and is_frozen(group)


def is_frozen(group: str) -> bool:
    """Return whether a control group is frozen, or is being frozen."""
    for name, thawed in ((VERSION_1, "THAWED"), (VERSION_2, "0")):
        try:
            with open(f"{group}/{name}") as file:
                return file.read().strip() != thawed
        except OSError:
            continue
    return False
