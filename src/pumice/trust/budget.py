"""Limits on the work that verifying one image may cause, whatever is attached to it.

Limits per blob are not enough, because anyone may attach any number of blobs. The bytes that are read
and the processor time that is spent have a total each. Small blobs, such as signatures, are read first.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURE_BYTES = 64 << 20
"""Total, if only signatures are read; a signature has less than 10 KiB."""
TOTAL_BYTES = 1 << 30
"""Total with attestations: two SBOMs of 100,000 files in both formats."""
SECONDS = 30.0
"""Processor time. A large attestation takes half a second; waiting for a registry is not included."""


class Budget:
    """The remaining budget of one decision about one image."""

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
        """Reserve ``size`` bytes; return "" if they may be read, else the reason why not."""
        if self._elapsed() - self._start > self._seconds:
            return f"not read: checking the image's attachments takes more than {self._seconds:.0f} s"
        if size > self._left:
            return f"not read: more than {self._size >> 20} MiB are attached to the image"
        self._left -= size
        return ""


def signature_budget() -> Budget:
    """Return the budget of a decision that reads only signatures."""
    return Budget(SIGNATURE_BYTES)
