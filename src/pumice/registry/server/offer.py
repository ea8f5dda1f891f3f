"""A manifest that a client pushes, before the registry accepts it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, cast

import msgspec

from pumice.errors import StoreError
from pumice.registry.server.storage.protocol import LocalFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from pumice.registry.server.storage.protocol import Storage


class Offer(msgspec.Struct, frozen=True):
    """A manifest that a client pushes: valid, but not stored yet.

    An admission check is a function from an offer to the reason to refuse it, one sentence, or None.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    media_type: str
    body: bytes
    storage: Storage
    """What the registry has already; signatures have to be there before a tag is set."""

    def open(self, digest: str) -> BinaryIO | None:
        """Open this manifest, or another manifest or blob of its repository; None if there is none.

        Raises StoreError.
        """
        if digest == self.digest:
            return io.BytesIO(self.body)
        manifest = self.storage.manifests.find(self.repository, digest)
        if manifest is not None:
            return io.BytesIO(manifest.body)
        blob = self.storage.blobs.find(self.repository, digest)
        if blob is None:
            return None
        if isinstance(blob.content, bytes):
            return io.BytesIO(blob.content)
        if isinstance(blob.content, LocalFile):
            try:
                return open(blob.content.path, "rb")
            except OSError as error:
                raise StoreError("cannot read the registry's disk", where=digest) from error
        chunks = blob.content.read(0, blob.size)
        return cast("BinaryIO", io.BufferedReader(_ChunkReader(chunks)))


class _ChunkReader(io.RawIOBase):
    """Reads an iterator of chunks as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._rest or next(self._chunks, b"")
        count = min(len(view), len(data))
        view[:count] = data[:count]
        self._rest = data[count:]
        return count
