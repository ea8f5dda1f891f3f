"""Forwarding of TCP connections that firewall rules do not forward, such as those to ``[::1]``."""

from __future__ import annotations

import os
import select
import socket
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 1 << 16
_MAX_CONNECTIONS = 512


class Relay:
    """Accepts connections on listening sockets and copies both directions to the pod."""

    def __init__(self, listeners: dict[int, int], find_address: Callable[[], str]) -> None:
        """``listeners`` are the ports of the pod by descriptor; ``find_address`` returns its address."""
        self._ports = listeners
        self._find_address = find_address
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def run_until(self, end: int) -> None:
        """Serve until the descriptor ``end`` is readable."""
        poll = select.poll()
        for descriptor in (end, *self._ports):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            if end in ready:
                return
            for descriptor in ready:
                self._accept(descriptor)

    def _accept(self, descriptor: int) -> None:
        listener = socket.socket(fileno=os.dup(descriptor))
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        finally:
            listener.close()
        if not self._slots.acquire(blocking=False):
            connection.close()
            return
        port = self._ports[descriptor]
        threading.Thread(target=self._serve, args=(connection, port), daemon=True).start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        try:
            with connection, socket.create_connection((self._find_address(), port), timeout=30) as pod:
                pod.settimeout(None)
                back = threading.Thread(target=_copy, args=(pod, connection), daemon=True)
                back.start()
                _copy(connection, pod)
                back.join()
        except OSError:
            pass
        finally:
            self._slots.release()


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
