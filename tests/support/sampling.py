"""How `make soak` runs tests: on everything that CI samples, many times, or with another date."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Item = TypeVar("Item")

SOAK = "PUMICE_SOAK"
REPEAT = "PUMICE_REPEAT"
ANOTHER_DAY = "PUMICE_ANOTHER_DAY"
VARIABLES = frozenset({SOAK, REPEAT, ANOTHER_DAY})


def is_soak() -> bool:
    """Return whether tests run on everything instead of a sample."""
    return os.environ.get(SOAK) == "1"


def sample(items: Iterable[Item], count: int, seed: int = 0) -> list[Item]:
    """Return all items in a soak, otherwise the same ``count`` items in every run, in their order."""
    everything = list(items)
    if is_soak() or count >= len(everything):
        return everything
    indexes = random.Random(seed).sample(range(len(everything)), count)
    return [everything[index] for index in sorted(indexes)]


def is_another_day() -> bool:
    """Return whether the clock of the tests, and of programs with a C library, shows another date."""
    return os.environ.get(ANOTHER_DAY) == "1"


def repetitions() -> int:
    """Return how often tests with the mark ``concurrency`` run: ``PUMICE_REPEAT``, or once."""
    return int(os.environ.get(REPEAT, "1"))
