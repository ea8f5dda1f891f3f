"""Blobs in memory: for tests, and for images that are not written to disk."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO

from pumice.digest import check
from pumice.errors import StoreError, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.digest import Digest


class MemoryBlobs:
    """See `pumice.store.blobs.Blobs`. A composed blob shares its parts' bytes until it is opened."""

    def __init__(self) -> None:
        self._contents: dict[Digest, bytes] = {}
        self._composed: dict[Digest, tuple[Digest, ...]] = {}

    def size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob that is present, else None."""
        check(digest)
        if digest in self._contents:
            return len(self._contents[digest])
        if digest in self._composed:
            return sum(len(self._contents[part]) for part in self._composed[digest])
        return None

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading; raises StoreError if it is missing."""
        if self.size(digest) is None:
            raise StoreError(f"the store has no blob {digest}", hint="build or fetch the image again")
        return io.BytesIO(b"".join(self._contents[part] for part in self._find_stored_parts(digest)))

    def writer(self) -> MemoryWriter:
        """Start writing a new blob."""
        return MemoryWriter(self._contents)

    def compose(self, parts: Sequence[Digest], digest: Digest) -> None:
        """Make ``digest`` readable as the concatenation of ``parts``; raises StoreError if one is missing."""
        for part in parts:
            if self.size(part) is None:
                raise StoreError(f"the store has no blob {part}", hint="build or fetch it again")
        self._composed[check(digest)] = tuple(
            stored_part for part in parts for stored_part in self._find_stored_parts(part)
        )

    def digests(self) -> Iterator[Digest]:
        """Yield the digest of every blob, sorted."""
        yield from sorted({*self._contents, *self._composed})

    def _find_stored_parts(self, digest: Digest) -> tuple[Digest, ...]:
        return (digest,) if digest in self._contents else self._composed[digest]


class MemoryWriter:
    """A blob that is being written to a `MemoryBlobs`."""

    def __init__(self, blobs: dict[Digest, bytes]) -> None:
        self._blobs = blobs
        self._chunks: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append ``data``."""
        self._chunks.append(bytes(data))
        return len(data)

    def commit(self, expected: Digest | None = None) -> Digest:
        """Add the blob to the store and return its digest; raises TrustError if it is not ``expected``."""
        data = b"".join(self._chunks)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if expected is not None and check(expected) != digest:
            raise TrustError(f"the content's digest is {digest}, not {expected}")
        self._blobs[digest] = data
        return digest

    def __enter__(self) -> MemoryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self._chunks.clear()
