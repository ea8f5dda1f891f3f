"""Waiting for what another process does, with an end if it never does."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PATIENCE_SECONDS = 120
"""What another process may take on a busy machine."""


def until(condition: Callable[[], T], show: Callable[[], object] = str) -> T:
    """Return the first true value of ``condition``; fail with what ``show`` returns if there never is one."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < end, f"waited in vain for {PATIENCE_SECONDS} s: {show()}"
        select.select([], [], [], 0.002)
    return value
