"""The control groups of a pod, which its supervisor removes."""

from __future__ import annotations

import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TRIES, _SECONDS = 200, 0.002


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
