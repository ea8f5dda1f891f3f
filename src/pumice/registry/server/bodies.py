"""Request bodies as they arrive, and response bodies that are sent in parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pumice import terminal
from pumice.errors import PumiceError
from pumice.registry.server.calls import Body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.registry.server import responses
    from pumice.registry.server.responses import ContentRange, Stream
    from pumice.registry.server.rsgi import RequestHeaders, Transport
    from pumice.registry.server.threads import Threads

_log = terminal.get_logger("pumice.registry.server")
_MAX_DRAINED = 16 << 20
"""Bytes of a body that are received although the response does not depend on them."""


class Chunks:
    """The body of a request; ``last_received`` is the time of its last chunk."""

    def __init__(self, transport: Transport, now: Callable[[], float]) -> None:
        self._chunks = transport.__aiter__()
        self._now = now
        self.last_received = now()
        self.is_complete = False

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            chunk: bytes = await self._chunks.__anext__()
        except StopAsyncIteration:
            self.is_complete = True
            raise
        self.last_received = self._now()
        return chunk

    async def drain(self) -> None:
        """Receive and drop the rest, within limits: many clients read no response before they sent all."""
        remaining = _MAX_DRAINED
        async for chunk in self:
            remaining -= len(chunk)
            if remaining < 0:
                break


class IncomingBodies:
    """The bodies that are being received. A body that pauses for ``timeout`` seconds ends its request."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._open: dict[asyncio.Task[None], Chunks] = {}

    def begin(self, transport: Transport) -> Chunks:
        """Return the body of the request that the current task handles, watched until `end`."""
        chunks = Chunks(transport, asyncio.get_running_loop().time)
        task = asyncio.current_task()
        if task is not None:
            self._open[task] = chunks
        return chunks

    def end(self) -> None:
        """Stop watching the body of the current task."""
        task = asyncio.current_task()
        if task is not None:
            self._open.pop(task, None)

    def find_stalled(self, now: float) -> Iterator[asyncio.Task[None]]:
        """Yield the tasks whose bodies have paused for too long; ``now`` is in the loop's time."""
        for task, chunks in list(self._open.items()):
            if now - chunks.last_received > self._timeout:
                yield task

    async def watch(self) -> None:
        """Cancel stalled tasks; runs as long as the server does."""
        while True:
            await asyncio.sleep(self._timeout / 4)
            for task in self.find_stalled(asyncio.get_running_loop().time()):
                task.cancel()


async def send_stream(transport: Transport, status: int, headers: responses.Headers, body: Stream) -> None:
    """Send a body while it is received; when it ends early the engine cuts the connection."""
    stream = transport.response_stream(status, headers)
    try:
        await stream.send_bytes(body.first_chunk)
        async for chunk in body.chunks:
            await stream.send_bytes(chunk)
    except (PumiceError, OSError, RuntimeError) as error:  # RuntimeError: the client is gone
        _log.warning("a response was cut off: %s", error)
    finally:
        del stream  # the engine cuts the connection when nothing refers to it any more


async def send_content(
    transport: Transport, status: int, headers: responses.Headers, body: ContentRange, threads: Threads
) -> None:
    """Send content that a storage backend reads in a thread; the rest is as with `send_stream`."""
    stream = transport.response_stream(status, headers)
    try:
        chunks = await threads.run(body.content.read, body.start, body.end)
        while chunk := await threads.run(next, chunks, b""):
            await stream.send_bytes(chunk)
    except (PumiceError, OSError, RuntimeError) as error:
        _log.warning("a response was cut off: %s", error)
    finally:
        del stream


class _NoChunks:
    def __aiter__(self) -> _NoChunks:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration


EMPTY = Body(_NoChunks(), 0)
"""The body of a request without one."""


def declared_size(headers: RequestHeaders) -> int | None:
    """Return a request's Content-Length; None without one, when its body is chunked.

    If a request has both, the engine hides the length, reads the chunks and ends the connection, as
    RFC 9112, 6.3 allows.
    """
    length = headers.get("content-length")
    return int(length) if length is not None and length.isdigit() else None
