"""The record of an attachment: what its network consists of, and how it is released.

An attachment is a directory with ``record.json``, ``hosts``, ``netns`` (the network namespace, mounted by
root) and ``pasta.pid`` or the like. Whoever uses it holds an exclusive lock on the directory.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RECORD = "record.json"


def read_record(directory: str) -> dict[str, Any]:
    """Return the record of an attachment, empty if it is missing or damaged."""
    try:
        with open(os.path.join(directory, _RECORD), "rb") as file:
            record = json.load(file)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(directory: str, record: dict[str, Any]) -> None:
    """Replace the record of an attachment; a reader sees the old or the new one."""
    temporary = os.path.join(directory, f".{_RECORD}")
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
    os.replace(temporary, os.path.join(directory, _RECORD))


def start_time(pid: int) -> int:
    """Return when a process began, in clock ticks since boot; 0 if there is none, or if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()
        return 0 if state in (b"Z", b"X") else int(fields[18])
    except (OSError, ValueError, IndexError):
        return 0


def has_ended(record: dict[str, Any]) -> bool:
    """Return whether the process has ended whose network namespace was connected."""
    pid = record.get("pid")
    return isinstance(pid, int) and start_time(pid) != record.get("start")
