"""The descriptors that the supervisor watches, and what is done when each becomes readable."""

from __future__ import annotations

import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


_PAUSE_SECONDS = 0.1


class Watch:
    """Descriptors and their handlers."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], object]] = {}
        self._paused: dict[int, float] = {}

    def add(self, descriptor: int, handler: Callable[[int], object]) -> None:
        """Call ``handler`` with the descriptor whenever it is readable, or its other end is closed."""
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.POLLIN)

    def add_writer(self, descriptor: int, handler: Callable[[int], object]) -> None:
        """Call ``handler`` with the descriptor whenever it takes more, or its other end is closed."""
        self._handlers[descriptor] = handler
        self._poll.register(descriptor, select.POLLOUT)

    def has(self, descriptor: int) -> bool:
        """Return whether a descriptor is watched."""
        return descriptor in self._handlers

    def remove(self, descriptor: int) -> None:
        """Watch a descriptor no more."""
        del self._handlers[descriptor]
        if self._paused.pop(descriptor, None) is None:
            self._poll.unregister(descriptor)

    def pause(self, descriptor: int) -> None:
        """Do not watch a readable descriptor for a moment, because what is there cannot be handled now."""
        self._paused[descriptor] = time.monotonic() + _PAUSE_SECONDS
        self._poll.unregister(descriptor)

    def wait(self, milliseconds: float | None) -> None:
        """Wait until a descriptor is readable, for at most this long, and call the handlers."""
        if self._paused:
            milliseconds = self._resume(milliseconds)
        for descriptor, _ in self._poll.poll(milliseconds):
            if handler := self._handlers.get(descriptor):
                handler(descriptor)

    def _resume(self, milliseconds: float | None) -> float | None:
        """Watch what was paused long enough; return for how long to wait at most."""
        now = time.monotonic()
        for descriptor in [each for each, due in self._paused.items() if due <= now]:
            del self._paused[descriptor]
            self._poll.register(descriptor, select.POLLIN)
        limits = [(due - now) * 1000 for due in self._paused.values()]
        return min(limits if milliseconds is None else [*limits, milliseconds], default=milliseconds)


def is_readable(descriptor: int) -> bool:
    """Return whether there is something to read now."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))
