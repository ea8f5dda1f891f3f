"""The control groups of a pod, which its supervisor removes."""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TRIES, _SECONDS = 200, 0.002


def ran_out_of_memory(directories: Sequence[str]) -> bool:
    """Return whether a process in the groups was killed because no memory was left."""
    for directory in directories:
        for name in ("memory.oom_control", "memory.events"):
            try:
                with open(f"{directory}/{name}") as file:
                    for line in file:
                        key, _, value = line.partition(" ")
                        if key == "oom_kill" and int(value):
                            return True
            except OSError:
                continue
    return False


def remove_groups(directories: Sequence[str]) -> None:
    """Remove the groups, and the parent of the last one; what cannot be removed is left to a collection."""
    for directory in directories:
        for path, _, _ in os.walk(directory, topdown=False):
            _remove(path)
        try:
            os.rmdir(os.path.dirname(directory))
        except OSError:  # another container uses it
            pass


def _remove(path: str) -> None:
    for _ in range(_TRIES):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno != errno.EBUSY:
                return
            time.sleep(_SECONDS)  # the kernel still ends the last processes
        else:
            return
