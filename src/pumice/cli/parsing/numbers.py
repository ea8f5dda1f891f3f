"""Numbers, as arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def whole_number(largest: int, noun: str = "number") -> Callable[[str], int]:
    """Return a type of arguments: a number from 0 to ``largest``, which errors call ``noun``."""

    def parse(text: str) -> int:
        number = int(text)
        if not 0 <= number <= largest:
            raise ValueError(text)
        return number

    parse.__name__ = noun  # argparse prints the name in errors
    return parse
