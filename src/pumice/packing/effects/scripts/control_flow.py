"""Early exits in a script, and whether the current command certainly runs.

If a branch that may be taken ends with ``continue``, ``break``, ``return`` or ``exit``, the rest of the
iteration, loop, function or (sub)shell that it leaves is uncertain.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExitLevel(IntEnum):
    """What an early exit leaves, from the inside to the outside."""

    NOTHING = 0
    ITERATION = 1
    LOOP = 2
    FUNCTION = 3
    SCRIPT = 4


class ScriptExit(Exception):
    """Raised by ``exit``."""

    level = ExitLevel.SCRIPT

    def __init__(self, status: bool) -> None:
        super().__init__()
        self.status = status


class FunctionReturn(Exception):
    """Raised by ``return``; the status is None if it is unknown."""

    level = ExitLevel.FUNCTION

    def __init__(self, status: bool | None) -> None:
        super().__init__()
        self.status = status


class LoopBreak(Exception):
    """Raised by ``break``."""

    level = ExitLevel.LOOP


class LoopContinue(Exception):
    """Raised by ``continue``."""

    level = ExitLevel.ITERATION


class ControlFlow:
    """Tracks whether the current command certainly runs.

    In format 1 (``is_scoped`` false) a possible exit from a function makes the whole rest of the
    script uncertain.
    """

    def __init__(self, *, is_scoped: bool) -> None:
        self.is_certain = True
        self.may_have_exited = False
        """Whether the last interpreted body may have been left early."""
        self._is_scoped = is_scoped
        self._possible_exit = ExitLevel.NOTHING

    def record_possible_exit(self, level: ExitLevel) -> None:
        """Record that a branch that may be taken leaves ``level``."""
        if level is not ExitLevel.NOTHING:
            self.is_certain = False
            self._possible_exit = max(self._possible_exit, level)

    @contextmanager
    def enter(self, level: ExitLevel) -> Iterator[None]:
        """Enter the body of an iteration, loop, function or subshell (``SCRIPT``).

        Afterwards the certainty is as before, unless the body may have left an outer level too.
        """
        was_certain, outer_level, self._possible_exit = (
            self.is_certain,
            self._possible_exit,
            ExitLevel.NOTHING,
        )
        try:
            yield
        finally:
            self.may_have_exited = self._is_scoped and self._possible_exit is not ExitLevel.NOTHING
            if self._is_scoped and self._possible_exit <= level:
                self.is_certain, self._possible_exit = was_certain, outer_level
            else:
                self._possible_exit = max(self._possible_exit, outer_level)
