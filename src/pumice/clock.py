"""Clocks, which are passed in so that nothing depends on the current time implicitly."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of the current time."""

    def now(self) -> int:
        """Return seconds since the epoch, UTC."""


class SystemClock:
    """The clock of the machine."""

    def now(self) -> int:
        """Return seconds since the epoch, UTC."""
        return int(time.time())


class FixedClock:
    """A clock that always returns the same time: for tests and for rebuilds."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def now(self) -> int:
        """Return the fixed time, in seconds since the epoch, UTC."""
        return self._seconds


def format_rfc3339(seconds: int) -> str:
    """Return ``seconds`` since the epoch as RFC 3339 in UTC, such as ``2026-01-02T03:04:05Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
