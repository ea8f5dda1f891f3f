"""A TCP proxy that breaks connections."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Wire:
    """Forwards a loopback port to another, and once breaks every connection after a number of bytes."""

    def __init__(self, host: str, cut_after: int) -> None:
        """``cut_after`` is the number of bytes in both directions, over all connections."""
        name, _, port = host.partition(":")
        self._target = (name, int(port))
        self._left = cut_after
        self.is_cut = False
        self.count = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Wire:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()
        self._break()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()
                    continue
                self._open += [client, server]
                threading.Thread(target=self._join, args=(client, server), daemon=True).start()

    def _join(self, source: socket.socket, target: socket.socket) -> None:
        with source, target:
            back = threading.Thread(target=self._pump, args=(target, source), daemon=True)
            back.start()
            self._pump(source, target)
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                with self._lock:
                    self.count += len(data)
                    sent_data = data if self.is_cut else data[: self._left]
                    self._left -= len(sent_data)
                target.sendall(sent_data)
                if len(sent_data) < len(data):
                    self.is_cut = True
                    self._break()
                    return
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _break(self) -> None:
        connections, self._open = self._open, []
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
