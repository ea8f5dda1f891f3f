"""How `make soak` has tests run: on all that CI takes a sample of, many times, or on another day."""

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
    """Say whether tests are to run on everything and not on a sample."""
    return os.environ.get(SOAK) == "1"


def sample(items: Iterable[Item], count: int, seed: int = 0) -> list[Item]:
    """Return all items in a soak, else the same ``count`` of them in every run, in the given order."""
    everything = list(items)
    if is_soak() or count >= len(everything):
        return everything
    chosen = random.Random(seed).sample(range(len(everything)), count)
    return [everything[index] for index in sorted(chosen)]


def is_another_day() -> bool:
    """Say whether the clock of the tests, and of programs with a C library, shows another day than it is."""
    return os.environ.get(ANOTHER_DAY) == "1"


def repetitions() -> int:
    """Return how often tests with the mark ``concurrency`` run; 1 unless ``PUMICE_REPEAT`` says more."""
    return int(os.environ.get(REPEAT, "1"))
