"""What the client takes from time and chance; tests replace it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable


class TimeSources(msgspec.Struct, frozen=True):
    """The clocks of a client, how it waits, and the randomness of its pauses.

    Times are in seconds; ``wall_clock`` counts them since the epoch. ``jitter`` returns numbers from 0 to 1.
    """

    monotonic_clock: Callable[[], float] = time.monotonic
    wall_clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep
    jitter: Callable[[], float] = random.random
