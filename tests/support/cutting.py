"""A proxy for HTTP that breaks the connection at a chosen moment of a chosen request."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, get_args

import msgspec

Moment = Literal["before", "in-head", "in-body", "no-answer", "in-answer-head", "in-answer-body"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class _CutError(Exception):
    """The connection was cut on purpose."""


class Message(msgspec.Struct, frozen=True):
    """A complete request or response."""

    head: bytes
    body: bytes


class Cutter:
    """A loopback port that forwards to another one, and cuts once, at ``moment`` of request ``number``.

    `is_cut` stays False if the request has no such moment, for example "in-body" without a body.
    """

    def __init__(self, host: str, number: int, moment: Moment) -> None:
        name, _, port = host.partition(":")
        self._target = (name, int(port))
        self._number = number
        self._moment = moment
        self.is_cut = False
        self.count = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Cutter:
        self._start(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, work: Callable[..., object], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self._start(self._relay, connection)

    def _relay(self, client: socket.socket) -> None:
        with suppress(OSError, _CutError), client, socket.create_connection(self._target) as server:
            self._open.append(server)
            while (request := _read_message(client, is_head=False)) is not None:
                with self._lock:
                    moment = self._moment if self.count == self._number else None
                    self.count += 1
                self._forward(request, server, moment, "in-head", "in-body", before="before")
                is_head = request.head.startswith(b"HEAD ")
                response = _read_message(server, is_head=is_head)
                if response is None:
                    return
                self._forward(
                    response, client, moment, "in-answer-head", "in-answer-body", before="no-answer"
                )

    def _forward(
        self,
        message: Message,
        to: socket.socket,
        moment: Moment | None,
        in_head: Moment,
        in_body: Moment,
        *,
        before: Moment,
    ) -> None:
        data = message.head + message.body
        lengths = {before: 0, in_head: len(message.head) * 2 // 3}
        if message.body:
            lengths[in_body] = len(message.head) + len(message.body) // 2
        if moment in lengths:
            to.sendall(data[: lengths[moment]])
            self.is_cut = True
            raise _CutError
        to.sendall(data)


def _read_message(source: socket.socket, *, is_head: bool) -> Message | None:
    """Read a complete message; None if the connection ends before it begins."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = source.recv(1 << 16)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    head += b"\r\n\r\n"
    if is_head or b" 204 " in head[:16]:
        return Message(head, b"")
    if _CHUNKED.search(head):
        while not body.endswith(b"0\r\n\r\n"):
            body += source.recv(1 << 16)
        return Message(head, body)
    length = _LENGTH.search(head)
    while length and len(body) < int(length[1]):
        chunk = source.recv(1 << 16)
        if not chunk:
            break
        body += chunk
    return Message(head, body)
