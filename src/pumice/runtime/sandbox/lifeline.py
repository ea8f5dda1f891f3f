"""Ending with the parent, also with one that was killed before the child could ask for it."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import close_if_open, move_above_sockets


class Lifeline:
    """A pipe whose writing end only the parent has: it is closed when the parent ends.

    PR_SET_PDEATHSIG has no effect if the parent has ended already, and in a new process namespace, a child
    cannot see whether it has. Create it before the fork; it stays open in the parent until that ends.
    """

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def leave_room_for_sockets(self, count: int) -> None:
        """Move out of the way of the sockets of a program, before a last call of `end_with_parent`."""
        self._reader = move_above_sockets(self._reader, count)

    def end_with_parent(self, *, is_last: bool = True) -> None:
        """Be killed when the parent ends; end now if it has. Call it in the child.

        A change of the user clears that, so call it again after one. Only the last call ``is_last``.
        """
        syscalls.end_with_parent()
        close_if_open(self._writer)
        self._writer = -1
        os.set_blocking(self._reader, False)
        try:
            has_ended = os.read(self._reader, 1) == b""
        except BlockingIOError:
            has_ended = False
        if is_last:
            os.close(self._reader)
        if has_ended:
            os._exit(1)
