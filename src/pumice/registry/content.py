"""Contents by digest, whatever its algorithm: hashed while they pass through."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

from pumice.errors import FormatError, TrustError
from pumice.registry.reference import is_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Open = Callable[[], BinaryIO]

CHUNK = 1 << 20


def hasher(digest: str) -> hashlib._Hash:
    """Return the hash for a digest; raises FormatError for one that cannot be checked."""
    if not is_digest(digest):
        raise FormatError(
            f"{digest[:150]!r} is no digest that can be checked", hint="sha256 and sha512 are known"
        )
    return hashlib.new(digest.partition(":")[0])


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of ``data``."""
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def check(data: bytes, digest: str, where: str) -> bytes:
    """Return ``data`` if it has ``digest``; raises TrustError otherwise."""
    found = hasher(digest)
    found.update(data)
    if found.hexdigest() != digest.partition(":")[2]:
        raise TrustError("what the registry sent does not have the digest it was asked for", where=where)
    return data


class Content:
    """Bytes that are to be sent: where they come from, and what they must be."""

    def __init__(self, digest: str, size: int, source: Open, sent: Callable[[int], object]) -> None:
        """``source`` opens them anew, from the start. ``sent`` hears how many bytes go out."""
        self.digest = digest
        self.size = size
        self._source = source
        self._sent = sent

    def part(self, start: int, end: int) -> Iterator[bytes]:
        """Yield bytes ``start`` to ``end``.

        The last of all are held back until the whole has been hashed: raises TrustError instead of
        sending them when it is not what it should be.
        """
        found = hasher(self.digest)
        position = 0
        with self._source() as file:
            while position < end:
                data = file.read(min(CHUNK, end - position if position >= start else start - position))
                if not data:
                    break
                found.update(data)
                position += len(data)
                if position == self.size:
                    self._check(found.hexdigest(), file)
                if position > start:
                    yield data
                    self._sent(len(data))
        if position < end:
            raise self._wrong()

    def _check(self, digits: str, file: BinaryIO) -> None:
        if digits != self.digest.partition(":")[2] or file.read(1):
            raise self._wrong()

    def _wrong(self) -> TrustError:
        return TrustError("what was to be sent does not have the digest it is known by", where=self.digest)
