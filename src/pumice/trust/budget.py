"""How much work one image may cause while its signatures are judged, whatever is attached to it.

Limits per blob are not enough: a stranger can attach any number of blobs. So the bytes that are read and
the processor time that is spent have a total each, and small blobs, which signatures are, come first.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURE_BYTES = 64 << 20
"""In total, where only signatures are read; one has less than 10 KiB."""
TOTAL_BYTES = 1 << 30
"""In total, with attestations: two bills of materials of 100,000 files in both forms."""
SECONDS = 30.0
"""Processor time. A large attestation takes half a second; waiting for a registry does not count."""


class Budget:
    """What is left for judging one image. It lives as long as one decision takes."""

    def __init__(
        self,
        size: int = TOTAL_BYTES,
        seconds: float = SECONDS,
        elapsed: Callable[[], float] = time.thread_time,
    ) -> None:
        self._size = size
        self._left = size
        self._seconds = seconds
        self._elapsed = elapsed
        self._start = elapsed()

    def take(self, size: int) -> str:
        """Take ``size`` bytes; return why they may not be read, "" if they may."""
        if self._elapsed() - self._start > self._seconds:
            return f"not read: what is attached to the image takes more than {self._seconds:.0f} s to check"
        if size > self._left:
            return f"not read: more than {self._size >> 20} MiB are attached to the image"
        self._left -= size
        return ""


def signature_budget() -> Budget:
    """Return the budget of a decision that reads signatures only."""
    return Budget(SIGNATURE_BYTES)
