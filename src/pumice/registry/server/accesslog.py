"""The access log: one JSON object a line, written in batches so that no request waits for a disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.terminal import printable_line

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST = 100_000
"""Lines that wait at most, for a disk or a reader that does not take them; more are counted, not kept."""

_PAUSE = 0.2
"""Seconds between two batches."""

_DELETE = b"\x7f"


def _encode(value: object) -> bytes:
    """Return a value as one line of JSON without a character that could command a terminal."""
    data = msgspec.json.encode(value)
    if data.isascii() and _DELETE not in data:
        return data
    return printable_line(data.decode()).encode()


class Line(msgspec.Struct, omit_defaults=True):
    """One request. Passwords and tokens are in none of these."""

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
    """Takes lines from the server's one thread and writes them from its own."""

    def __init__(self, file: BinaryIO, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._now = now
        self._lines: deque[bytes] = deque()
        self._lost = 0
        self._second = 0
        self._stamp = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def add(self, line: Line) -> None:
        """Take a line; never waits, never fails."""
        if len(self._lines) >= _MOST:
            self._lost += 1
            return
        self._lines.append(_encode(line))

    def stamp(self) -> str:
        """Return the present as RFC 3339, UTC, with milliseconds."""
        now = self._now()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        return f"{self._stamp}{int((now - second) * 1000):03d}Z"

    def close(self) -> None:
        """Write what is left."""
        self._ended.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE):
            self._write()
        self._write()

    def _write(self) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        lost, self._lost = self._lost, 0
        if lost:
            lines.append(_encode({"time": self.stamp(), "lost": lost}))
        if not lines:
            return
        try:
            self._file.write(b"\n".join(lines) + b"\n")
            self._file.flush()
        except (OSError, ValueError):
            self._lost += len(lines)
