"""Blobs on their way from another registry: each is fetched once, kept, and sent on while it comes.

Whoever wants it reads the file that it is written to. The last byte is only given out once the whole has
its digest and is kept, so nobody ever takes something else for the blob.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from pumice.errors import FetchError, StoreError
from pumice.registry.refusal import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pumice.registry.server.storage import Storage
    from pumice.registry.server.threads import Threads
    from pumice.registry.server.upstream import Upstream

_PIECE = 256 << 10
_HEAD_START = 1 << 20
"""Bytes that are waited for before an answer begins: so what is small is answered as a whole, or refused."""


class Fetch:
    """One blob on its way. Its state changes in the event loop's thread only."""

    def __init__(self) -> None:
        self.path = ""
        self.size = 0
        """0 while it is not known."""
        self.received = 0
        self.ended = False
        self.problem: Exception | None = None
        self._moved = asyncio.Event()

    def move(self, path: str, size: int, received: int) -> None:
        """Note how far it is."""
        self.path, self.size, self.received = path, size, received
        self._wake()

    def end(self, problem: Exception | None) -> None:
        """Note that it is kept, or that it is not because of ``problem``."""
        self.ended, self.problem = True, problem
        self._wake()

    async def begun(self) -> None:
        """Wait until enough is there to answer, or until it has ended."""
        while not self.ended and not (self.size and self.received >= min(self.size, _HEAD_START)):
            await self._moved.wait()
        if self.size <= _HEAD_START:
            while not self.ended:
                await self._moved.wait()

    async def pieces(self, threads: Threads) -> AsyncIterator[bytes]:
        """Yield the content as it comes; raises FetchError instead of the last byte."""
        file = os.open(self.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            position = 0
            while position < self.size:
                kept = self.ended and self.problem is None
                end = self.size if kept else min(self.received, self.size - 1)
                if position < end:
                    data = await threads.run(os.pread, file, min(_PIECE * 4, end - position), position)
                    if not data:
                        raise StoreError("what was fetched is gone", where=self.path)
                    position += len(data)
                    yield data
                elif self.problem is not None:
                    # Not the problem itself: its traceback would keep the connection from being cut.
                    raise FetchError(f"the blob was not fetched: {self.problem}", where=self.path)
                else:
                    await self._moved.wait()
        finally:
            os.close(file)

    def _wake(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()


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
        loop = asyncio.get_running_loop()

        def tell(path: str, size: int, received: int) -> None:
            loop.call_soon_threadsafe(fetch.move, path, size, received)

        problem: Exception | None = None
        try:
            await self.threads.run(self._copy, *key, tell)
        except Exception as error:  # noqa: BLE001 - whoever waits for it has to hear of it
            problem = error
        finally:
            del self._going[key]
            fetch.end(problem)

    def _copy(self, repository: str, digest: str, tell: Callable[[str, int, int], None]) -> None:
        storage = self._storage
        size = self._upstream.size(repository, digest)
        if size is None:
            raise NotFoundError("the registry does not have it", where=digest)
        if storage.mount(repository, digest, None):  # another repository has it, and so may this one
            return
        upload = storage.begin(repository, digest.partition(":")[0])
        path = storage.receiving_into(repository, upload) or ""
        received = 0
        try:
            with self._upstream.open(repository, digest, size or None) as file:
                while not self._stopped and (data := file.read(_PIECE)):
                    received = storage.append(repository, upload, received, data)
                    tell(path, size, received)
            storage.finish(repository, upload, digest)  # which it is not, if this stopped before its end
        except BaseException:
            storage.cancel(repository, upload)
            raise
