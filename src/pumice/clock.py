"""The clock is passed in, so that nothing depends on when it runs unless it says so."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the present comes from."""

    def now(self) -> int:
        """Return seconds since the epoch, UTC."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        """Return seconds since the epoch, UTC."""
        return int(time.time())


class FixedClock:
    """A clock that stands still: for tests and for rebuilding the past."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds

    def now(self) -> int:
        """Return the one moment that this clock knows."""
        return self._seconds
