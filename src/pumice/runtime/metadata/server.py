"""A small HTTP server around a pure function: one thread and one request per connection, all bounded."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from typing import NamedTuple

from pumice.formats import http1
from pumice.formats.http1 import Request, RequestError, RequestReader, Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Respond = Callable[[Request, str], Response]
    """Returns the response to a request that comes from a source, ``""`` for an unknown one."""

_MAX_SOURCE = 64


class Limits(NamedTuple):
    """Connections in progress, in total and for one source, and the seconds that each may take."""

    connections: int = 128
    per_source: int = 32
    seconds: float = 10.0


_DEFAULT_LIMITS = Limits()


class Server:
    """Answers requests on listening sockets.

    On a socket in ``relayed``, each connection begins with a line that names its source, which only relays
    of the same user can write. ``name_client`` returns the source of the others.
    """

    def __init__(
        self,
        respond: Respond,
        listeners: Sequence[socket.socket],
        *,
        relayed: Sequence[socket.socket] = (),
        name_client: Callable[[socket.socket], str] = lambda _: "",
        limits: Limits = _DEFAULT_LIMITS,
        log: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._respond = respond
        self._listeners = {listener.fileno(): (listener, False) for listener in listeners}
        self._listeners |= {listener.fileno(): (listener, True) for listener in relayed}
        self._name_client = name_client
        self._limits = limits
        self._log = log
        self._slots = threading.BoundedSemaphore(limits.connections)
        self._counts: dict[str, int] = {}
        self._counts_lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        for listener, _ in self._listeners.values():
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ)

    def run(self, *, idle_seconds: float = 0, stop: socket.socket | None = None) -> None:
        """Serve until ``stop`` is readable, or no connection came for ``idle_seconds`` (0: for ever)."""
        if stop is not None:
            self._selector.register(stop, selectors.EVENT_READ)
        while True:
            ready = self._selector.select(idle_seconds or None)
            if not ready or any(key.fileobj is stop for key, _ in ready):
                return
            for key, _ in ready:
                self._accept(*self._listeners[key.fd])

    def _accept(self, listener: socket.socket, is_relayed: bool) -> None:
        # Waiting here for a free slot leaves new clients in the backlog of the socket.
        self._slots.acquire()
        try:
            connection, _ = listener.accept()
        except OSError:  # the client has left, or there are too many open files
            self._slots.release()
            time.sleep(0.01)
            return
        thread = threading.Thread(target=self._serve, args=(connection, is_relayed), daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            connection.close()
            self._slots.release()

    def _serve(self, connection: socket.socket, is_relayed: bool) -> None:
        deadline = time.monotonic() + self._limits.seconds
        try:
            with connection:
                source = _read_source(connection, deadline) if is_relayed else self._name_client(connection)
                if self._enter(source):
                    try:
                        self._answer(connection, source, deadline)
                    finally:
                        self._leave(source)
                else:
                    _send(connection, http1.encode_response(Response(503)), deadline)
        except OSError:  # the client has left, or was too slow
            pass
        finally:
            self._slots.release()

    def _enter(self, source: str) -> bool:
        """Count a connection of a source; return False if it has too many."""
        with self._counts_lock:
            count = self._counts.get(source, 0)
            if source and count >= self._limits.per_source:
                return False
            self._counts[source] = count + 1
        return True

    def _leave(self, source: str) -> None:
        with self._counts_lock:
            self._counts[source] -= 1
            if not self._counts[source]:
                del self._counts[source]

    def _answer(self, connection: socket.socket, source: str, deadline: float) -> None:
        is_head = False
        try:
            request = _read_request(connection, deadline)
            if request is None:
                return
            is_head = request.method == "HEAD"
            response = self._respond(request, source)
        except RequestError as error:
            response = Response(error.status, f"{error.reason}\n".encode())
        except Exception as error:  # noqa: BLE001 - the client gets a response to any failure
            # The text of unexpected errors is not logged: it could contain a token.
            self._log(f"a request failed: {describe(error)}")
            response = Response(500, b"internal error\n")
        _send(connection, http1.encode_response(response, is_head=is_head), deadline)


def describe(error: Exception) -> str:
    """Return what a log may say of an error: nothing that comes from a request."""
    from pumice.errors import PumiceError

    return str(error) if isinstance(error, PumiceError) else type(error).__name__


def _read_source(connection: socket.socket, deadline: float) -> str:
    """Return the source that a relay wrote as the first line; raises OSError if there is none."""
    data = b""
    while not data.endswith(b"\n"):
        byte = _receive(connection, 1, deadline)
        data += byte
        if not byte or len(data) > _MAX_SOURCE:
            raise ConnectionError
    return data.decode("ascii", "replace").strip()


def _read_request(connection: socket.socket, deadline: float) -> Request | None:
    """Return the request, None if the client has left before sending it; raises RequestError and OSError."""
    reader = RequestReader()
    has_continued = False
    while data := _receive(connection, reader.missing_size, deadline):
        request = reader.feed(data)
        if request is not None:
            return request
        if reader.awaits_continue and not has_continued:
            has_continued = True
            _send(connection, b"HTTP/1.1 100 Continue\r\n\r\n", deadline)
    return None


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    connection.settimeout(_remaining(deadline))
    return connection.recv(size)


def _send(connection: socket.socket, data: bytes, deadline: float) -> None:
    connection.settimeout(_remaining(deadline))
    connection.sendall(data)


def _remaining(deadline: float) -> float:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise TimeoutError
    return remaining
