"""The protocol of a content-addressed store."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.digest import Digest


class BlobWriter(Protocol):
    """A blob that is being written. Leaving the context without a commit discards it."""

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append ``data``."""

    def commit(self, expected: Digest | None = None) -> Digest:
        """Add the blob to the store and return its digest; raises TrustError if it is not ``expected``.

        The blob is durable before any reference or record points to it.
        """

    def __enter__(self) -> BlobWriter: ...
    def __exit__(self, *exc: object) -> None: ...


class Blobs(Protocol):
    """Blobs by digest. Safe for concurrent use by threads and processes."""

    def size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob that is present and intact, else None.

        A file whose recorded size, inode, mtime and ctime differ is hashed again.
        """

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading from its start; raises StoreError if it is missing."""

    def writer(self) -> BlobWriter:
        """Start writing a new blob."""

    def compose(self, parts: Sequence[Digest], digest: Digest) -> None:
        """Make ``digest`` readable as the concatenation of ``parts``, without copying them."""

    def digests(self) -> Iterator[Digest]:
        """Yield the digest of every blob, composed ones included."""


def write_blob(data: bytes, blobs: Blobs, expected: Digest | None = None) -> Digest:
    """Store ``data`` and return its digest; raises TrustError if it is not ``expected``."""
    with blobs.writer() as writer:
        writer.write(data)
        return writer.commit(expected)
