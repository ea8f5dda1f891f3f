"""What requests carry, as it comes in, and what RSGI gives for answering."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from pumice import terminal
from pumice.errors import PumiceError
from pumice.registry.server.upload_handlers import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.registry.server import responses
    from pumice.registry.server.responses import Flow

_log = terminal.get_logger("pumice.registry.server")
_UNWANTED = 16 << 20
"""Bytes of a body that are taken although the answer is clear already."""


class Stream(Protocol):
    """An answer's body that goes out bit by bit."""

    async def send_bytes(self, data: bytes) -> None:
        """Send the next bytes; raises RuntimeError once the client is gone."""


class Engine(Protocol):
    """What RSGI gives for answering a request."""

    def response_empty(self, status: int, headers: responses.Headers) -> None:
        """Answer without a body."""

    def response_bytes(self, status: int, headers: responses.Headers, body: bytes) -> None:
        """Answer with bytes."""

    def response_file_range(
        self, status: int, headers: responses.Headers, file: str, start: int, end: int
    ) -> None:
        """Answer with a part of a file."""

    def response_stream(self, status: int, headers: responses.Headers) -> Stream:
        """Answer with what is not all there yet."""

    def __aiter__(self) -> Any:
        """Yield what the request carries."""


class Chunks:
    """The body of a request; ``seen`` is when something of it came last."""

    def __init__(self, proto: Engine, now: Callable[[], float]) -> None:
        self._chunks = proto.__aiter__()
        self._now = now
        self.seen = now()
        self.ended = False

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk: bytes = await self._chunks.__anext__()
        except StopAsyncIteration:
            self.ended = True
            raise
        self.seen = self._now()
        return chunk

    async def drain(self) -> None:
        """Take what nobody wants, within limits: many clients read no answer before they have sent all."""
        room = _UNWANTED
        async for chunk in self:
            room -= len(chunk)
            if room < 0:
                break


class Incoming:
    """The bodies that are coming in: whichever stops coming for ``limit`` seconds ends its request."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._open: dict[asyncio.Task[None], Chunks] = {}

    def begin(self, proto: Engine) -> Chunks:
        """Return the body of the request that the current task answers, and watch it until `end`."""
        chunks = Chunks(proto, asyncio.get_running_loop().time)
        task = asyncio.current_task()
        if task is not None:
            self._open[task] = chunks
        return chunks

    def end(self) -> None:
        """Watch the current task's body no longer."""
        task = asyncio.current_task()
        if task is not None:
            self._open.pop(task, None)

    def late(self, now: float) -> Iterator[asyncio.Task[None]]:
        """Yield the tasks whose bodies have stopped coming, by the loop's clock."""
        for task, chunks in list(self._open.items()):
            if now - chunks.seen > self._limit:
                yield task

    async def watch(self) -> None:
        """Cancel what is late; runs as long as the server does."""
        while True:
            await asyncio.sleep(self._limit / 4)
            for task in self.late(asyncio.get_running_loop().time()):
                task.cancel()


async def flow(proto: Engine, status: int, headers: responses.Headers, body: Flow) -> None:
    """Answer with what comes bit by bit; when it ends early the engine cuts the connection."""
    stream = proto.response_stream(status, headers)
    try:
        await stream.send_bytes(body.first)
        async for chunk in body.chunks:
            await stream.send_bytes(chunk)
    except (PumiceError, OSError, RuntimeError) as problem:  # RuntimeError: the client is gone
        _log.warning("an answer was cut off: %s", problem)
    finally:
        del stream  # the connection is cut when nothing knows of it any more


class _NoChunks:
    def __aiter__(self) -> _NoChunks:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


NOTHING = Body(_NoChunks(), 0)
"""The body of a request that has none."""


def declared(headers: Any) -> int | None:
    """Return a request's Content-Length, None without one: then its body is chunked.

    Where there is both, the engine hides the length, reads the chunks and ends the connection, which
    RFC 9112, 6.3 allows.
    """
    length = headers.get("content-length")
    return int(length) if length is not None and length.isdigit() else None
