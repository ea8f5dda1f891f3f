"""Startup code of Python under libfaketime, found by PYTHONPATH.

libfaketime 0.9.10 can leave the monotonic clock unchanged, but then computes the end of an absolute sleep
wrongly, and Python uses absolute sleeps since 3.11.
"""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex) -> None:
    """Replace ``time.sleep`` with a relative wait."""
    length = float(seconds)
    if length < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], length)


time.sleep = _sleep
