"""A wire that knows HTTP, and breaks at one moment of one request."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from typing import Literal, get_args

import msgspec

Moment = Literal["before", "in-head", "in-body", "no-answer", "in-answer-head", "in-answer-body"]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class _CutError(Exception):
    """The moment has come."""


class Message(msgspec.Struct, frozen=True):
    """A request or an answer, whole."""

    head: bytes
    body: bytes


class Cutter:
    """A loopback port that leads to another, and cuts at a ``moment`` of request ``number``, once.

    A moment that the request does not have, such as in the body of one without, is not reached:
    then `is_cut` stays False.
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
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]  # arguments of several types
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                self._open.append(here)
                self._start(self._join, here)

    def _join(self, here: socket.socket) -> None:
        with suppress(OSError, _CutError), here, socket.create_connection(self._target) as there:
            self._open.append(there)
            while (request := _read(here, is_head=False)) is not None:
                with self._lock:
                    moment = self._moment if self.count == self._number else None
                    self.count += 1
                self._pass(request, there, moment, "in-head", "in-body", before="before")
                is_head = request.head.startswith(b"HEAD ")
                answer = _read(there, is_head=is_head)
                if answer is None:
                    return
                self._pass(answer, here, moment, "in-answer-head", "in-answer-body", before="no-answer")

    def _pass(
        self,
        message: Message,
        to: socket.socket,
        moment: Moment | None,
        in_head: Moment,
        in_body: Moment,
        *,
        before: Moment,
    ) -> None:
        whole = message.head + message.body
        left = {before: 0, in_head: len(message.head) * 2 // 3}
        if message.body:
            left[in_body] = len(message.head) + len(message.body) // 2
        if moment in left:
            to.sendall(whole[: left[moment]])
            self.is_cut = True
            raise _CutError
        to.sendall(whole)


def _read(source: socket.socket, *, is_head: bool) -> Message | None:
    """Read a whole message; None where the connection ends before one begins."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = source.recv(1 << 16)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    head += b"\r\n\r\n"
    if is_head or b" 204 " in head[:16]:
        return Message(head, b"")
    if _CHUNKED.search(head):
        while not body.endswith(b"0\r\n\r\n"):
            body += source.recv(1 << 16)
        return Message(head, body)
    found = _LENGTH.search(head)
    while found and len(body) < int(found[1]):
        more = source.recv(1 << 16)
        if not more:
            break
        body += more
    return Message(head, body)
