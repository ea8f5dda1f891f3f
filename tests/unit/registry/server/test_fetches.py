"""A blob that is being fetched is read completely, even if its upload is finished or removed meanwhile."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pytest

from pumice.errors import FetchError
from pumice.registry.server import bodies
from pumice.registry.server.calls import RegistryCall
from pumice.registry.server.fetches import Fetches
from pumice.registry.server.proxy import Proxy
from pumice.registry.server.storage.disk.storage import DiskStorage, open_storage
from pumice.registry.server.threads import Threads
from tests.support.serving import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.registry.server.upstream import Upstream

pytestmark = pytest.mark.concurrency

DATA = os.urandom(3 << 20)
DIGEST = digest_of(DATA)


class SlowUpstream:
    """Has one blob, and sends its second half when ``second_half`` is set."""

    def __init__(self, data: bytes = DATA, failure: Exception | None = None) -> None:
        self.second_half = threading.Event()
        self._data = data
        self._failure = failure

    def blob_size(self, name: str, digest: str) -> int | None:
        return len(self._data)

    def open_blob(self, name: str, digest: str, size: int | None) -> BinaryIO:
        upstream = self

        class Body(io.BytesIO):
            def read(self, length: int | None = -1) -> bytes:
                if self.tell() * 2 >= len(upstream._data):
                    assert upstream.second_half.wait(60)
                    if upstream._failure is not None:
                        raise upstream._failure
                return super().read(length)

        return Body(self._data)


class NoHeaders:
    def get(self, name: str) -> str | None:
        return None

    def get_all(self, name: str) -> list[str]:
        return []


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[DiskStorage]:
    with open_storage(tmp_path / "root") as opened:
        yield opened


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def fetches(storage: DiskStorage, upstream: SlowUpstream, pool: ThreadPoolExecutor) -> Fetches:
    return Fetches(storage, cast("Upstream", upstream), Threads(pool))


def open_descriptors() -> set[str]:
    names = set()
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):  # the descriptor of the listing itself
            names.add(str(link.readlink()))
    return names


@pytest.mark.parametrize("begins", ["before", "after"])
def test_a_blob_whose_fetch_ends_before_it_is_read_is_read_completely(
    storage: DiskStorage, pool: ThreadPoolExecutor, begins: str
) -> None:
    upstream = SlowUpstream()

    async def scenario() -> bytes:
        fetch = fetches(storage, upstream, pool).begin("app", DIGEST)
        await fetch.wait_for_start()
        chunks = fetch.chunks(Threads(pool))
        content = await anext(chunks) if begins == "before" else b""
        upstream.second_half.set()
        while not fetch.is_finished:
            await fetch.wait()
        assert storage.blobs.find("app", DIGEST) is not None
        return content + b"".join([chunk async for chunk in chunks])

    assert asyncio.run(scenario()) == DATA
    assert not [name for name in open_descriptors() if str(storage.root) in name and "blobs" in name]


def test_readers_of_a_failed_fetch_get_an_error_instead_of_the_end(
    storage: DiskStorage, pool: ThreadPoolExecutor
) -> None:
    upstream = SlowUpstream(failure=FetchError("the connection was lost"))

    async def scenario() -> int:
        fetch = fetches(storage, upstream, pool).begin("app", DIGEST)
        await fetch.wait_for_start()
        chunks = fetch.chunks(Threads(pool))
        unread = fetch.chunks(Threads(pool))
        upstream.second_half.set()
        received = 0
        with pytest.raises(FetchError, match="cannot fetch the blob: the connection was lost"):
            async for chunk in chunks:
                received += len(chunk)
        del unread
        return received

    assert 0 < asyncio.run(scenario()) < len(DATA)
    assert not [name for name in open_descriptors() if "_uploads" in name and str(storage.root) in name]


def test_a_read_failure_is_an_error_and_not_an_empty_response(
    storage: DiskStorage, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = SlowUpstream()

    def fail(*arguments: Any) -> bytes:
        raise OSError(errno.EIO, "input/output error")

    async def scenario() -> None:
        proxy_fetches = fetches(storage, upstream, pool)
        proxy = Proxy(storage, cast("Upstream", upstream), Threads(pool), proxy_fetches, 0)
        monkeypatch.setattr(os, "pread", fail)
        try:
            with pytest.raises(OSError, match="input/output error"):
                await proxy.get_blob(RegistryCall("app", DIGEST, "", {}, NoHeaders(), bodies.EMPTY))
        finally:
            upstream.second_half.set()

    asyncio.run(scenario())
