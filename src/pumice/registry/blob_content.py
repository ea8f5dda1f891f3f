"""Contents by digest, whatever its algorithm: hashed while they pass through."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from pumice.errors import FormatError, TrustError
from pumice.registry.reference import is_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Open = Callable[[], BinaryIO]

CHUNK = 1 << 18
"""Bytes that are read at once: they are still in the processor's cache when they are hashed and sent."""


def new_hasher(digest: str) -> hashlib._Hash:
    """Return the hash for a digest; raises FormatError for one that cannot be checked."""
    if not is_digest(digest):
        raise FormatError(
            f"{digest[:150]!r} is no digest that can be checked", hint="sha256 and sha512 are known"
        )
    return hashlib.new(digest.partition(":")[0])


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of ``data``."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def verify_digest(data: bytes, digest: str, where: str) -> bytes:
    """Return ``data`` if it has ``digest``; raises TrustError otherwise."""
    hasher = new_hasher(digest)
    hasher.update(data)
    if hasher.hexdigest() != digest.partition(":")[2]:
        raise TrustError("what the registry sent does not have the digest it was asked for", where=where)
    return data


class BlobContent:
    """Bytes that are to be sent: where they come from, and what they must be.

    The source stays open between parts that follow each other, so that several requests cost no more
    reading than one. `close` it in the end.
    """

    def __init__(self, digest: str, size: int, opener: Open, on_sent: Callable[[int], object]) -> None:
        """``source`` opens them anew, from the start. ``sent`` hears how many bytes go out."""
        self.digest = digest
        self.size = size
        self._opener = opener
        self._on_sent = on_sent
        self._file: BinaryIO | None = None
        self._position = 0
        self._hash = new_hasher(digest)
        self._buffer = memoryview(bytearray(min(CHUNK, max(size, 1))))

    def read_range(self, start: int, end: int) -> Iterator[memoryview]:
        """Yield bytes ``start`` to ``end``; each piece is only good until the next is asked for.

        The last of all are held back until the whole has been hashed: raises TrustError instead of
        sending them when it is not what it should be.
        """
        file = self._seek(start)
        while self._position < end:
            data = self._read(file, end)
            if self._position == self.size:
                self._verify(file)
            yield data
            self._on_sent(len(data))

    def close(self) -> None:
        """Let go of the source."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _seek(self, start: int) -> BinaryIO:
        """The source, read and hashed up to ``start``."""
        if self._file is None or self._position > start:
            self.close()
            self._hash = new_hasher(self.digest)
            self._position = 0
            self._file = self._opener()
        while self._position < start:
            self._read(self._file, start)
        return self._file

    def _read(self, file: BinaryIO, end: int) -> memoryview:
        count = file.readinto(self._buffer[: end - self._position])  # type: ignore[attr-defined]  # all have it
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
        return TrustError("what was to be sent does not have the digest it is known by", where=self.digest)
