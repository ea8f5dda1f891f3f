"""Blobs on their way from another registry: each is fetched once, kept, and sent on while it comes.

Whoever wants it reads the file that it is written to. The last byte is only given out once the whole has
its digest and is kept, so nobody ever takes something else for the blob.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from pumice.errors import FetchError, StoreError
from pumice.registry.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pumice.registry.server.storage.disk.storage import Storage
    from pumice.registry.server.threads import Threads
    from pumice.registry.server.upstream import Upstream

_PIECE = 256 << 10
_HEAD_START = 1 << 20
"""Bytes that are waited for before an answer begins: so what is small is answered as a whole, or refused."""


class Fetch:
    """One blob on its way. Its state changes in the event loop's thread only.

    It is read through a descriptor of its own: the file is renamed when it is complete and removed when it
    is not, and may have neither name by the time that somebody reads.
    """

    def __init__(self) -> None:
        self.size = 0
        """0 while it is not known."""
        self.received = 0
        self.ended = False
        self.problem: Exception | None = None
        self._descriptor = -1
        self._readers = 0
        self._moved = asyncio.Event()

    def start(self, descriptor: int, size: int) -> None:
        """Note what it is read from, which is closed here, and how large it will be."""
        self._descriptor, self.size = descriptor, size
        self._wake()

    def move(self, received: int) -> None:
        """Note how far it is."""
        self.received = received
        self._wake()

    def end(self, problem: Exception | None) -> None:
        """Note that it is kept, or that it is not because of ``problem``."""
        self.ended, self.problem = True, problem
        self._wake()
        self._close_unused()

    async def begun(self) -> None:
        """Wait until enough is there to answer, or until it has ended."""
        while not self.ended and not (self.size and self.received >= min(self.size, _HEAD_START)):
            await self._moved.wait()
        if self.size <= _HEAD_START:
            while not self.ended:
                await self._moved.wait()

    def pieces(self, threads: Threads) -> AsyncIterator[bytes]:
        """Return an iterator over the content as it comes; it raises FetchError instead of the last byte.

        From the call until the iterator is closed the content can be read, also when the fetch has ended.
        """
        return _Pieces(self, threads)

    def acquire(self) -> int:
        """Return the descriptor, which stays open until `release`."""
        self._readers += 1
        return self._descriptor

    def release(self) -> None:
        """Let go of the descriptor."""
        self._readers -= 1
        self._close_unused()

    async def wait(self) -> None:
        """Wait until something has changed."""
        await self._moved.wait()

    def _close_unused(self) -> None:
        if self.ended and not self._readers and self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


class _Pieces:
    """Reads a `Fetch` from its beginning; holds its descriptor until the end, an error, or its own."""

    def __init__(self, fetch: Fetch, threads: Threads) -> None:
        self._fetch = fetch
        self._threads = threads
        self._position = 0
        self._descriptor = fetch.acquire()

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._next()
        except BaseException:
            self._release()
            raise
        if not data:
            self._release()
            raise StopAsyncIteration
        return data

    async def _next(self) -> bytes:
        """Return the next bytes; none after the last."""
        fetch = self._fetch
        while self._position < fetch.size:
            is_kept = fetch.ended and fetch.problem is None
            end = fetch.size if is_kept else min(fetch.received, fetch.size - 1)
            if self._position < end:
                length = min(_PIECE * 4, end - self._position)
                data = await self._threads.run(os.pread, self._descriptor, length, self._position)
                if not data:
                    raise StoreError("the fetched blob is shorter than the upstream registry said")
                self._position += len(data)
                return data
            if fetch.problem is not None:
                # Not the problem itself: its traceback would keep the connection from being cut.
                raise FetchError(f"cannot fetch the blob: {fetch.problem}")
            await fetch.wait()
        return b""

    def __del__(self) -> None:
        self._release()  # nobody has read it, or not to its end

    def _release(self) -> None:
        if self._descriptor >= 0:
            self._descriptor = -1
            self._fetch.release()


class Fetches:
    """All blobs that are on their way."""

    def __init__(self, storage: Storage, upstream: Upstream, threads: Threads) -> None:
        self._storage = storage
        self._upstream = upstream
        self.threads = threads
        self._going: dict[tuple[str, str], Fetch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def begin(self, repository: str, digest: str) -> Fetch:
        """Return a blob's fetch, which begins now unless it is on its way already."""
        key = (repository, digest)
        fetch = self._going.get(key)
        if fetch is None:
            fetch = self._going[key] = Fetch()
            task = asyncio.ensure_future(self._run(key, fetch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return fetch

    def stop(self) -> None:
        """Let nothing go on."""
        self._stopped = True

    async def _run(self, key: tuple[str, str], fetch: Fetch) -> None:
        in_loop = asyncio.get_running_loop().call_soon_threadsafe
        problem: Exception | None = None
        try:
            await self.threads.run(
                self._copy,
                *key,
                lambda descriptor, size: in_loop(fetch.start, descriptor, size),
                lambda received: in_loop(fetch.move, received),
            )
        except Exception as error:  # noqa: BLE001 - whoever waits for it has to hear of it
            problem = error
        finally:
            del self._going[key]
            fetch.end(problem)

    def _copy(
        self,
        repository: str,
        digest: str,
        start: Callable[[int, int], object],
        move: Callable[[int], object],
    ) -> None:
        storage = self._storage
        size = self._upstream.size(repository, digest)
        if size is None:
            raise NotFoundError("the registry does not have it", where=digest)
        if storage.mount(repository, digest, None):  # another repository has it, and so may this one
            return
        upload = storage.begin(repository, digest.partition(":")[0])
        received = 0
        try:
            start(storage.open_upload(repository, upload), size)
            with self._upstream.open(repository, digest, size or None) as file:
                while not self._stopped and (data := file.read(_PIECE)):
                    received = storage.append(repository, upload, received, data)
                    move(received)
            storage.finish(repository, upload, digest)  # which it is not, if this stopped before its end
        except BaseException:
            storage.cancel(repository, upload)
            raise
