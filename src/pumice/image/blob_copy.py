"""Copies the contents of blobs and checks their digests at the same time."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Protocol, TypeVar

from pumice import digest
from pumice.errors import TrustError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.layer import Layer
    from pumice.image.model import BlobSource

    Write = Callable[[bytes], object]

_CHUNK = 1 << 20
_MOST_THREADS = 4
_Item = TypeVar("_Item")


class Content(Protocol):
    """Bytes of a known size that can be copied any number of times."""

    size: int

    def copy(self, write: Write) -> None:
        """Pass all bytes to ``write`` in chunks; raises TrustError if the content is not the expected one."""


class BytesContent:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = data

    def copy(self, write: Write) -> None:
        """Pass all bytes to ``write``."""
        write(self._data)


class Blob:
    """The blob of a descriptor."""

    def __init__(self, descriptor: Descriptor, blobs: BlobSource) -> None:
        self.size = descriptor.size
        self._digest = digest.check(descriptor.digest)
        self._blobs = blobs

    def copy(self, write: Write) -> None:
        """Pass all bytes to ``write``; raises TrustError if size or digest differ from the descriptor."""
        content_hash = hashlib.sha256()
        remaining = self.size
        with self._blobs.open(self._digest) as file:
            while remaining > 0 and (data := file.read(min(_CHUNK, remaining))):
                content_hash.update(data)
                write(data)
                remaining -= len(data)
            extra_byte = file.read(1)
        if remaining or extra_byte or "sha256:" + content_hash.hexdigest() != self._digest:
            raise _make_content_error(self._digest, self._blobs)


def _make_content_error(name: Digest, blobs: BlobSource) -> TrustError:
    """Return the error for a blob with the wrong content, which is removed if it is in the store."""
    from pumice.image.model import wrong_content
    from pumice.store.directory_blobs import DirectoryBlobs

    hint = None
    if isinstance(blobs, DirectoryBlobs) and blobs.discard_if_damaged(name):
        hint = "it has been removed from the store: build the image again"
    return wrong_content(name, hint)


class UncompressedLayer:
    """A layer without its compression. The constructor reads it once to find its size."""

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self.size = 0
        self.copy(self._count)

    def _count(self, data: bytes) -> None:
        self.size += len(data)

    def copy(self, write: Write) -> None:
        """Pass the tar of the layer to ``write``; raises TrustError if it does not match its diff ID."""
        with self._layer.open() as stream:
            while data := stream.read(_CHUNK):
                write(data)
            stream.finish()


def run_in_threads(function: Callable[[_Item], object], items: Sequence[_Item]) -> None:
    """Call ``function`` on every item in a few threads; after a failure, no other item is started.

    Threads help because hashing and writing release the global interpreter lock.
    """
    threads = min(_MOST_THREADS, os.cpu_count() or 1, len(items))
    if threads <= 1:
        for item in items:
            function(item)
        return
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(function, item) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(cancel_futures=True)
        for future in futures:
            if not future.cancelled():
                future.result()
