"""Noticing that a program was killed because its control groups had no memory left (cgroups(7)).

Version 2 counts the kills in a group together with those in the groups below it. Version 1 counts a kill only
in the group of the process, and that of an engine is removed with its count before anyone can read it. But
each group whose limit was reached has an event, which comes before the kill.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

OUT_OF_MEMORY = "out of memory"
"""How each explanation begins."""
_UNLIMITED = 1 << 62


class MemoryWatch:
    """Watches control groups, which may have no controller of memory, from its creation to `close`."""

    def __init__(self, directories: Sequence[str]) -> None:
        self._directories = tuple(directories)
        self._events = [event for directory in directories if (event := _open_event(directory)) >= 0]

    def explain_kill(self) -> str:
        """Return a sentence if processes were killed because no memory was left, ``""`` if none was."""
        has_event = any(map(_has_happened, self._events))
        if not has_event and not any(map(_count_kills, self._directories)):
            return ""
        limit = min(map(_read_limit, self._directories))
        if limit < _UNLIMITED:
            return f"{OUT_OF_MEMORY}: the program was killed at its limit of {_format(limit)}"
        pod_limit = min(_read_limit(os.path.dirname(directory)) for directory in self._directories)
        if pod_limit < _UNLIMITED:
            return f"{OUT_OF_MEMORY}: the program was killed at the limit of {_format(pod_limit)} of its pod"
        return f"{OUT_OF_MEMORY}: the program was killed by the kernel"

    def close(self) -> None:
        """Close the events."""
        for event in self._events:
            os.close(event)
        self._events = []


def _open_event(directory: str) -> int:
    """Return a descriptor that is readable once the limit of a group of version 1 was reached, else -1."""
    try:
        control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # version 2, or a group without this controller
        return -1
    event = -1
    try:
        event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with open(f"{directory}/cgroup.event_control", "w") as file:
            file.write(f"{event} {control}")
    except OSError:  # also if there are too many open files: the program must go on
        if event >= 0:
            os.close(event)
        return -1
    finally:
        os.close(control)
    return event


def _has_happened(event: int) -> bool:
    try:
        return os.eventfd_read(event) > 0
    except BlockingIOError:
        return False


def _count_kills(directory: str) -> int:
    count = 0
    for name in ("memory.oom_control", "memory.events"):
        for line in _read(f"{directory}/{name}").split("\n"):
            key, _, value = line.partition(" ")
            count += int(value) if key == "oom_kill" and value.isdigit() else 0
    return count


def _read_limit(directory: str) -> int:
    """Return how many bytes a group may use."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _read(f"{directory}/{name}").strip()
        if text.isdigit():
            return int(text)
    return _UNLIMITED


def _format(size: int) -> str:
    return f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
