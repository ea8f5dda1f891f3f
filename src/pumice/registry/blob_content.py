"""Computes and verifies digests of blobs and manifests (OCI image-spec, "Digests")."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from pumice.errors import FormatError, TrustError
from pumice.registry.reference import is_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Open = Callable[[], BinaryIO]

CHUNK = 1 << 18
"""Bytes to read at once: few enough to stay in the CPU cache until they are hashed and sent."""


def new_hasher(digest: str) -> hashlib._Hash:
    """Return a hash object for a digest's algorithm; raises FormatError if it is not supported."""
    if not is_digest(digest):
        raise FormatError(f"unsupported digest {digest[:150]!r}", hint="supported algorithms: sha256, sha512")
    return hashlib.new(digest.partition(":")[0])


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of ``data``."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def verify_digest(data: bytes, digest: str, where: str) -> bytes:
    """Return ``data`` if it has ``digest``; raises TrustError otherwise."""
    hasher = new_hasher(digest)
    hasher.update(data)
    if hasher.hexdigest() != digest.partition(":")[2]:
        raise TrustError("the content from the registry does not match its digest", where=where)
    return data


class BlobContent:
    """The content of a blob to upload, with its expected digest and size in bytes.

    The file stays open between consecutive ranges, so that several requests read it only once. The owner
    must call `close`.
    """

    def __init__(self, digest: str, size: int, opener: Open, on_sent: Callable[[int], object]) -> None:
        """``opener`` opens the content from the start. ``on_sent`` gets each number of bytes sent."""
        self.digest = digest
        self.size = size
        self._opener = opener
        self._on_sent = on_sent
        self._file: BinaryIO | None = None
        self._position = 0
        self._hash = new_hasher(digest)
        self._buffer = memoryview(bytearray(min(CHUNK, max(size, 1))))

    def read_range(self, start: int, end: int) -> Iterator[memoryview]:
        """Yield the bytes from ``start`` to ``end``; each piece is only valid until the next one.

        The last piece of the blob is only sent after the digest was verified: raises TrustError.
        """
        file = self._seek(start)
        while self._position < end:
            data = self._read(file, end)
            if self._position == self.size:
                self._verify(file)
            yield data
            self._on_sent(len(data))

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _seek(self, start: int) -> BinaryIO:
        """Return the file, read and hashed up to ``start``."""
        if self._file is None or self._position > start:
            self.close()
            self._hash = new_hasher(self.digest)
            self._position = 0
            self._file = self._opener()
        while self._position < start:
            self._read(self._file, start)
        return self._file

    def _read(self, file: BinaryIO, end: int) -> memoryview:
        count = file.readinto(self._buffer[: end - self._position])  # type: ignore[attr-defined]  # BinaryIO lacks it, its files have it
        if not count:
            raise self._digest_error()
        data = self._buffer[:count]
        self._hash.update(data)
        self._position += len(data)
        return data

    def _verify(self, file: BinaryIO) -> None:
        if self._hash.hexdigest() != self.digest.partition(":")[2] or file.read(1):
            raise self._digest_error()

    def _digest_error(self) -> TrustError:
        return TrustError("the content to upload does not match its digest", where=self.digest)
