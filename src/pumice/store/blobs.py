"""What a content-addressed store is: five methods, everything else derived."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.digest import Digest


class Writer(Protocol):
    """A blob on its way in. Leaving the context without a commit leaves no trace."""

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append ``data``."""

    def commit(self, expected: Digest | None = None) -> Digest:
        """Make it part of the store, durable before anything refers to it; TrustError if not ``expected``."""

    def __enter__(self) -> Writer: ...
    def __exit__(self, *exc: object) -> None: ...


class Blobs(Protocol):
    """Content by digest. Safe for concurrent use by threads and processes."""

    def size(self, digest: Digest) -> int | None:
        """Return the size of a blob that is present and sound, else None.

        Trusts a recorded size, inode, mtime and ctime; hashes again when they differ.
        """

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading from its start; raises StoreError if there is none."""

    def writer(self) -> Writer:
        """Begin a new blob."""

    def compose(self, parts: Sequence[Digest], digest: Digest) -> None:
        """Make ``digest`` readable as the concatenation of ``parts``, which are kept once only."""

    def digests(self) -> Iterator[Digest]:
        """Yield the digest of every blob, composed ones included."""
