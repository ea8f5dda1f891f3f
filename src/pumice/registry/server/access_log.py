"""The access log: one JSON object per line, written in batches so that no request waits for a disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.terminal import printable_line

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_PENDING = 100_000
"""Lines that wait for a slow disk or reader; further lines are counted and dropped."""

_BATCH_SECONDS = 0.2
"""Time between two batches."""

_DELETE = b"\x7f"


def _encode(value: object) -> bytes:
    """Return a value as one line of JSON without terminal control characters."""
    data = msgspec.json.encode(value)
    if data.isascii() and _DELETE not in data:
        return data
    return printable_line(data.decode()).encode()


class Line(msgspec.Struct, omit_defaults=True):
    """One request. No field contains a password or token."""

    time: str
    client: str
    method: str
    path: str
    status: int
    bytes: int
    ms: float
    user: str = ""
    query: str = ""
    agent: str = ""
    received: int = 0


class AccessLog:
    """Accepts lines from the thread of the server and writes them in a thread of its own."""

    def __init__(self, file: BinaryIO, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._now = now
        self._lines: deque[bytes] = deque()
        self._dropped = 0
        self._second = 0
        self._timestamp = ""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        """Add a line; never blocks, never fails."""
        if len(self._lines) >= _MAX_PENDING:
            self._dropped += 1
            return
        self._lines.append(_encode(line))

    def timestamp(self) -> str:
        """Return the current time as RFC 3339, UTC, with milliseconds."""
        now = self._now()
        second = int(now)
        if second != self._second:
            self._second = second
            self._timestamp = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._timestamp}{int((now - second) * 1000):03d}Z"

    def close(self) -> None:
        """Write the pending lines and stop."""
        self._stopped.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stopped.wait(_BATCH_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        dropped, self._dropped = self._dropped, 0
        if dropped:
            lines.append(_encode({"time": self.timestamp(), "lost": dropped}))
        if not lines:
            return
        try:
            self._file.write(b"\n".join(lines) + b"\n")
            self._file.flush()
        except (OSError, ValueError):
            self._dropped += len(lines)
