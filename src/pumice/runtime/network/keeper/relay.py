"""Forwarding of TCP connections that firewall rules do not forward, such as those to ``[::1]``."""

from __future__ import annotations

import errno
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
_EXHAUSTION = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_MILLISECONDS = 100
"""How long no connection is accepted after there was no descriptor or memory for one."""
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
        poll, pause = select.poll(), select.poll()
        for descriptor in (end, *self._listeners):
            poll.register(descriptor, select.POLLIN)
        pause.register(end, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if end in ready:
                return
            accepted = [self._accept(descriptor) for descriptor in ready]
            if not all(accepted):
                pause.poll(_PAUSE_MILLISECONDS)

    def _accept(self, descriptor: int) -> bool:
        """Serve a new connection; return False if there are no descriptors or no memory for it."""
        try:
            with socket.socket(fileno=os.dup(descriptor)) as listener:
                connection, _ = listener.accept()
        except OSError as error:
            return error.errno not in _EXHAUSTION
        if not self._slots.acquire(blocking=False):
            connection.close()
            return True
        try:
            threading.Thread(target=self._serve, args=(connection, descriptor), daemon=True).start()
        except RuntimeError:  # no more threads
            connection.close()
            self._slots.release()
        return True

    def _serve(self, connection: socket.socket, descriptor: int) -> None:
        try:
            with connection, self._connect(descriptor) as target:
                target.settimeout(None)
                back = threading.Thread(target=_copy, args=(target, connection), daemon=True)
                back.start()
                _copy(connection, target)
                back.join()
        except (OSError, RuntimeError):  # RuntimeError: no more threads
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
