"""The descriptors that the supervisor watches, and what is done when each becomes readable."""

from __future__ import annotations

import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Watch:
    """Descriptors and their handlers."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[int], object]] = {}

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
        self._poll.unregister(descriptor)

    def wait(self, milliseconds: float | None) -> None:
        """Wait until a descriptor is readable, for at most this long, and call the handlers."""
        for descriptor, _ in self._poll.poll(milliseconds):
            if handler := self._handlers.get(descriptor):
                handler(descriptor)


def is_readable(descriptor: int) -> bool:
    """Return whether there is something to read now."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(0))
