"""Forwarding of TCP connections that firewall rules do not forward, such as those to ``[::1]``."""

from __future__ import annotations

import os
import resource
import select
import socket
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_BLOCK = 1 << 16
_MAX_CONNECTIONS = 512
_OTHER_FILES = 32
"""How many descriptors are left for everything else; each connection has two."""


class Relay:
    """Accepts connections on listening sockets and copies both directions to where they lead."""

    def __init__(
        self,
        listeners: Iterable[int],
        connect: Callable[[int], socket.socket],
        *,
        max_connections: int = _MAX_CONNECTIONS,
    ) -> None:
        """``connect`` takes one of the descriptors ``listeners``, and returns the connection to copy to.

        It is called in a thread for each connection, and raises OSError if that cannot be made. There are
        at most ``max_connections``, and no more than this process can have open; others are closed at once.
        """
        self._listeners = tuple(listeners)
        self._connect = connect
        self._slots = threading.BoundedSemaphore(min(max_connections, _count_possible_connections()))

    def run_until(self, end: int) -> None:
        """Serve until the descriptor ``end`` is readable."""
        poll = select.poll()
        for descriptor in (end, *self._listeners):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if end in ready:
                return
            for descriptor in ready:
                self._accept(descriptor)

    def _accept(self, descriptor: int) -> None:
        try:
            with socket.socket(fileno=os.dup(descriptor)) as listener:
                connection, _ = listener.accept()
        except OSError:
            return
        if not self._slots.acquire(blocking=False):
            connection.close()
            return
        threading.Thread(target=self._serve, args=(connection, descriptor), daemon=True).start()

    def _serve(self, connection: socket.socket, descriptor: int) -> None:
        try:
            with connection, self._connect(descriptor) as target:
                target.settimeout(None)
                back = threading.Thread(target=_copy, args=(target, connection), daemon=True)
                back.start()
                _copy(connection, target)
                back.join()
        except OSError:
            pass
        finally:
            self._slots.release()


def _count_possible_connections() -> int:
    """Return how many connections can be open before accept(2) fails, which would be tried again at once."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _MAX_CONNECTIONS
    return max(1, (limit - _OTHER_FILES) // 2)


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the end of ``source``, and tell ``target`` that there is no more."""
    try:
        while data := source.recv(_BLOCK):
            target.sendall(data)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
