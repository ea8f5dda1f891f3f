"""The limits of a script: steps, memory, depth and the size of numbers."""

from __future__ import annotations

MAX_SOURCE = 64 << 10
MAX_STEPS = 1_000_000
MAX_CELLS = 32 << 20
MAX_DEPTH = 100
CELLS_PER_ITEM = 8
"""What an item of a list counts as, in characters."""
MAX_BITS = 4096


class ScriptError(Exception):
    """A script failed; ``line`` counts from 1, 0 if it is unknown."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Budget:
    """What a script may still use; every use that goes beyond raises ScriptError."""

    def __init__(self, *, steps: int = MAX_STEPS, cells: int = MAX_CELLS) -> None:
        self._steps = steps
        self._cells = cells
        self.depth = 0

    def step(self, count: int = 1) -> None:
        """Count steps of the interpreter."""
        self._steps -= count
        if self._steps < 0:
            raise ScriptError("the script takes too many steps")

    def allocate(self, cells: int) -> None:
        """Count the characters of a new string or the items of a new list, before it is made."""
        self._cells -= max(cells, 0)
        if self._cells < 0:
            raise ScriptError("the script uses too much memory")

    def enter(self) -> None:
        """Count a level of nested expressions and calls."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ScriptError("the script is nested too deeply")

    def leave(self) -> None:
        """Leave a level."""
        self.depth -= 1


def check_integer(number: int) -> int:
    """Return a number that is not too large."""
    if number.bit_length() > MAX_BITS:
        raise ScriptError("the number is too large")
    return number
