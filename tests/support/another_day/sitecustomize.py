"""Python's start under libfaketime, by PYTHONPATH.

libfaketime 0.9.10 leaves the monotonic clock alone when it is told to, but computes the end of an absolute
sleep on it wrongly; Python sleeps that way since 3.11.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    """Stand in for ``time.sleep`` with a relative wait."""
    length = float(seconds)
    if length < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], length)


time.sleep = _sleep
