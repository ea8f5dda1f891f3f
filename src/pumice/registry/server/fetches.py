"""Blobs that are being fetched from an upstream registry: each once, stored, and sent on meanwhile.

Clients are sent the data that the upload in the storage has so far. They get the last byte only after the
whole blob has matched its digest and is stored, so no client ever takes other content for the blob.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pumice.errors import FetchError, StoreError
from pumice.registry.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from pumice.registry.server.storage.protocol import Storage, UploadReader
    from pumice.registry.server.threads import Threads
    from pumice.registry.server.upstream import Upstream

_CHUNK = 256 << 10
_HEAD_START = 1 << 20
"""Bytes that are fetched before a response begins, so that a small blob is sent whole, or refused."""


class Fetch:
    """The fetch of one blob. Its state changes only in the thread of the event loop.

    Clients read it through an `UploadReader`: the upload becomes a blob when it is complete, and is removed
    when the fetch fails, while they still read.
    """

    def __init__(self) -> None:
        self.size = 0
        """0 until it is known."""
        self.received = 0
        self.is_finished = False
        self.error: Exception | None = None
        self._reader: UploadReader | None = None
        self._readers = 0
        self._changed = asyncio.Event()

    def start(self, reader: UploadReader, size: int) -> None:
        """Set the reader of the received data, which the fetch closes, and the size of the blob."""
        self._reader, self.size = reader, size
        self._notify()

    def advance(self, received: int) -> None:
        """Set how many bytes were received."""
        self.received = received
        self._notify()

    def finish(self, error: Exception | None) -> None:
        """Note that the blob is stored, or that it is not because of ``error``."""
        self.is_finished, self.error = True, error
        self._notify()
        self._close_unused()

    async def wait_for_start(self) -> None:
        """Wait until a response can begin, or until the fetch is finished."""
        while not self.is_finished and not (self.size and self.received >= min(self.size, _HEAD_START)):
            await self._changed.wait()
        if self.size <= _HEAD_START:
            while not self.is_finished:
                await self._changed.wait()

    def chunks(self, threads: Threads) -> AsyncIterator[bytes]:
        """Return an iterator over the content; after a failure it raises FetchError before the last byte.

        The content can be read until the iterator is exhausted or deleted, also after the fetch.
        """
        return _FetchChunks(self, threads)

    def acquire_reader(self) -> UploadReader | None:
        """Return the reader, which stays open until `release_reader`."""
        self._readers += 1
        return self._reader

    def release_reader(self) -> None:
        """Allow the reader to be closed."""
        self._readers -= 1
        self._close_unused()

    async def wait(self) -> None:
        """Wait until the state changes."""
        await self._changed.wait()

    def _close_unused(self) -> None:
        if self.is_finished and not self._readers and self._reader is not None:
            self._reader.close()
            self._reader = None

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class _FetchChunks:
    """Reads a `Fetch` from its beginning; holds its reader until the end, an error, or its deletion."""

    def __init__(self, fetch: Fetch, threads: Threads) -> None:
        self._fetch = fetch
        self._threads = threads
        self._position = 0
        self._is_released = False
        self._reader = fetch.acquire_reader()

    def __aiter__(self) -> _FetchChunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._read()
        except BaseException:
            self._release()
            raise
        if not data:
            self._release()
            raise StopAsyncIteration
        return data

    async def _read(self) -> bytes:
        """Return the next bytes, none after the last."""
        fetch = self._fetch
        while self._position < fetch.size:
            if self._reader is None:
                raise StoreError("the fetched blob is no longer available")
            is_stored = fetch.is_finished and fetch.error is None
            end = fetch.size if is_stored else min(fetch.received, fetch.size - 1)
            if self._position < end:
                length = min(_CHUNK * 4, end - self._position)
                data = await self._threads.run(self._reader.read, self._position, length)
                if not data:
                    raise StoreError("the fetched blob is shorter than the upstream registry declared")
                self._position += len(data)
                return data
            if fetch.error is not None:
                # Not the error itself: its traceback would keep the connection from being cut.
                raise FetchError(f"cannot fetch the blob: {fetch.error}")
            await fetch.wait()
        return b""

    def __del__(self) -> None:
        self._release()  # it was not read, or not to its end

    def _release(self) -> None:
        if not self._is_released:
            self._is_released = True
            self._reader = None
            self._fetch.release_reader()


class Fetches:
    """All blobs that are being fetched."""

    def __init__(self, storage: Storage, upstream: Upstream, threads: Threads) -> None:
        self._storage = storage
        self._upstream = upstream
        self.threads = threads
        self._fetches: dict[tuple[str, str], Fetch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    def begin(self, repository: str, digest: str) -> Fetch:
        """Return the fetch of a blob; it begins now unless it has begun already."""
        key = (repository, digest)
        fetch = self._fetches.get(key)
        if fetch is None:
            fetch = self._fetches[key] = Fetch()
            task = asyncio.ensure_future(self._run(key, fetch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return fetch

    def stop(self) -> None:
        """Abort all fetches."""
        self._is_stopped = True

    async def _run(self, key: tuple[str, str], fetch: Fetch) -> None:
        call_in_loop = asyncio.get_running_loop().call_soon_threadsafe
        failure: Exception | None = None
        try:
            await self.threads.run(
                self._copy,
                *key,
                lambda reader, size: call_in_loop(fetch.start, reader, size),
                lambda received: call_in_loop(fetch.advance, received),
            )
        except Exception as error:  # noqa: BLE001 - those who wait for the fetch get any error
            failure = error
        finally:
            del self._fetches[key]
            fetch.finish(failure)

    def _copy(
        self,
        repository: str,
        digest: str,
        start: Callable[[UploadReader, int], object],
        advance: Callable[[int], object],
    ) -> None:
        """Store a blob of the upstream registry; report its size, and how much was received."""
        storage = self._storage
        size = self._upstream.blob_size(repository, digest)
        if size is None:
            raise NotFoundError("the registry does not have this blob", where=digest)
        if storage.blobs.mount(repository, digest, _all_repositories(storage)):
            return
        upload = storage.uploads.begin(repository, digest.partition(":")[0])
        received = 0
        try:
            stored_upload = storage.uploads.find(repository, upload)
            if stored_upload is not None:
                start(stored_upload.open(), size)
            with self._upstream.open_blob(repository, digest, size or None) as file:
                while not self._is_stopped and (data := file.read(_CHUNK)):
                    received = storage.uploads.append(repository, upload, received, data)
                    advance(received)
            storage.uploads.finish(repository, upload, digest)  # fails if this was stopped before the end
        except BaseException:
            storage.uploads.cancel(repository, upload)
            raise


def _all_repositories(storage: Storage) -> Iterator[str]:
    """Yield the names of all repositories; they are listed only when the first one is needed."""
    yield from storage.repositories()
