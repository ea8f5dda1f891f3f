"""How certain it is that a script gets to where it is being followed, and what leaves it early.

A branch that may be taken and that leaves makes the rest uncertain, but only the rest of what it
leaves: `continue` the iteration, `break` the loop, `return` the function, `exit` the (sub)shell.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Leave(IntEnum):
    """What is left early, from the inside to the outside."""

    NOTHING = 0
    ITERATION = 1
    LOOP = 2
    FUNCTION = 3
    SCRIPT = 4


class Exit(Exception):  # noqa: N818 - leaves the script, is not an error
    """``exit``."""

    leaves = Leave.SCRIPT

    def __init__(self, status: bool) -> None:
        super().__init__()
        self.status = status


class Return(Exception):  # noqa: N818 - leaves the function, is not an error
    """``return``."""

    leaves = Leave.FUNCTION

    def __init__(self, status: bool | None) -> None:
        super().__init__()
        self.status = status


class Break(Exception):  # noqa: N818 - leaves the loop, is not an error
    """``break``."""

    leaves = Leave.LOOP


class Continue(Exception):  # noqa: N818 - leaves the iteration, is not an error
    """``continue``."""

    leaves = Leave.ITERATION


class Flow:
    """Whether the current command runs for certain.

    In format 1 (``is_scoped`` false) what one function may leave makes the whole rest of the script
    uncertain.
    """

    def __init__(self, *, is_scoped: bool) -> None:
        self.is_certain = True
        self.was_left = False
        """Whether the body that was followed last may have been left early."""
        self._is_scoped = is_scoped
        self._left = Leave.NOTHING

    def may_leave(self, what: Leave) -> None:
        """Note that a branch that may have been taken leaves ``what``."""
        if what is not Leave.NOTHING:
            self.is_certain = False
            self._left = max(self._left, what)

    @contextmanager
    def inside(self, what: Leave) -> Iterator[None]:
        """Follow the body of an iteration, loop, function or subshell (``SCRIPT``).

        Afterwards it is as certain as before, unless the body may have left more than itself.
        """
        was_certain, left_before, self._left = self.is_certain, self._left, Leave.NOTHING
        try:
            yield
        finally:
            self.was_left = self._is_scoped and self._left is not Leave.NOTHING
            if self._is_scoped and self._left <= what:
                self.is_certain, self._left = was_certain, left_before
            else:
                self._left = max(self._left, left_before)
