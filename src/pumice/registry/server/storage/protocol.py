"""The interface between the registry server and its storage.

A backend implements `Storage` in a package of its own next to this module and gets a row in
`pumice.registry.server.storage.backends`. The rest of the server does not depend on the backend.

Every backend guarantees:

- When a method that changes something returns, the change is durable. When it raises, the change
  happened completely or not at all, and the call can be repeated.
- Any thread may call any method. One process uses a location at a time.
- A malformed name, tag or digest raises FormatError. A failure of the backend raises StoreError,
  and StorageFullError if there is no space left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

LEASE_RENEWAL_SECONDS = 600.0
"""`Blobs.find` and `Manifests.find` renew a lease that is older than this; see `Leases`."""


class StorageFullError(StoreError):
    """There is no space, or no quota, left for the data of a push; the server answers 507."""


class UploadOffsetError(StoreError):
    """A chunk does not start where the upload ends, which is at byte ``offset``; the server answers 416."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the upload is at byte {offset}")
        self.offset = offset


class DigestMismatchError(StoreError):
    """The uploaded content has another digest, and the upload was removed; the server answers 400."""


class UnknownUploadError(StoreError):
    """The repository has no such upload, or no longer has it; the server answers 404."""

    def __init__(self) -> None:
        super().__init__("there is no such upload")


class LocalFile(msgspec.Struct, frozen=True):
    """Content in a file of this machine, which the server sends without copying it through memory."""

    path: str


class RemoteContent(Protocol):
    """Content that is neither in memory nor in a local file."""

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to ``end`` in chunks; blocks, and raises StoreError."""


class StoredBlob(msgspec.Struct, frozen=True):
    """A blob: its size in bytes, and its content or where to read it."""

    size: int
    content: bytes | LocalFile | RemoteContent


class StoredManifest(msgspec.Struct, frozen=True):
    """A manifest, byte for byte as it was pushed."""

    digest: str
    media_type: str
    body: bytes


class Referrer(msgspec.Struct, frozen=True):
    """An entry in the list of referrers of ``subject``: a descriptor as JSON."""

    subject: str
    descriptor: bytes


class Blobs(Protocol):
    """The blobs of each repository."""

    def find(self, repository: str, digest: str) -> StoredBlob | None:
        """Return a blob of the repository and renew its lease; None if the repository does not have it.

        Raises StoreError if the content is in memory and does not match the digest.
        """

    def mount(self, repository: str, digest: str, sources: Iterable[str]) -> bool:
        """Add a blob that one of the repositories ``sources`` has; return False if none has it."""

    def delete(self, repository: str, digest: str) -> bool:
        """Remove a blob from the repository; return False if the repository does not have it."""

    def list(self, repository: str) -> Sequence[str]:
        """Return the digests of all blobs of the repository, sorted."""


class Contents(Protocol):
    """The content of blobs, stored once for all repositories; for the collection and the check."""

    def list(self) -> Iterator[str]:
        """Yield the digests of all content, including content that no repository uses."""

    def size(self, digest: str) -> int | None:
        """Return the size of the content in bytes; None if there is none with this digest."""

    def read(self, digest: str) -> Iterator[bytes] | None:
        """Return the content in chunks, without checking it; None if there is none with this digest."""

    def collecting(self) -> AbstractContextManager[object]:
        """Return a context in which `remove` spares content that a repository has started to use."""

    def remove(self, digest: str) -> int:
        """Remove content that no repository uses; return the bytes freed, 0 if it has to stay.

        Call it in a `collecting` context that began before the blobs of all repositories were listed.
        """


class Manifests(Protocol):
    """The manifests of each repository."""

    def put(
        self,
        repository: str,
        manifest: StoredManifest,
        tags: Sequence[str] = (),
        referrer: Referrer | None = None,
    ) -> None:
        """Store a manifest, point ``tags`` to it, and list it as a referrer.

        The caller has computed the digest. After a failure some of the tags may be set.
        """

    def find(self, repository: str, reference: str) -> StoredManifest | None:
        """Return a manifest by tag or digest and renew its lease; None if the repository has none.

        Raises StoreError if the manifest does not match its digest.
        """

    def read(self, repository: str, digest: str) -> bytes:
        """Return the bytes of a manifest, without checking them; empty if the repository has none."""

    def delete(self, repository: str, digest: str) -> bool:
        """Remove a manifest and all tags that point to it; return False if the repository has none."""

    def list(self, repository: str) -> Sequence[str]:
        """Return the digests of all manifests of the repository, sorted."""


class Tags(Protocol):
    """The tags of each repository."""

    def read(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag points to; raises StoreError if that is not a digest."""

    def delete(self, repository: str, tag: str) -> bool:
        """Remove a tag but not its manifest; return False if the repository has no such tag."""

    def list(self, repository: str) -> Sequence[str] | None:
        """Return all tags in ASCII order; None if the repository does not exist."""


class Referrers(Protocol):
    """The manifests that refer to a subject, in each repository."""

    def list(self, repository: str, subject: str) -> Sequence[bytes]:
        """Return the descriptors of existing manifests that refer to ``subject``, ordered by digest."""


class UploadReader(Protocol):
    """Reads an upload while it grows, and after it was finished or canceled."""

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; raises OSError or StoreError."""

    def close(self) -> None:
        """Release the upload's data."""


class Upload(Protocol):
    """An upload that is not finished."""

    @property
    def offset(self) -> int:
        """Bytes received when the upload was looked up."""

    def open(self) -> UploadReader:
        """Open the received bytes for reading; raises UnknownUploadError if the upload is gone."""


class Uploads(Protocol):
    """The unfinished uploads of each repository. They survive a restart of the server."""

    def begin(self, repository: str, algorithm: str = "sha256") -> str:
        """Create an upload and return its id; ``algorithm`` is the one its digest will probably have."""

    def find(self, repository: str, upload: str) -> Upload | None:
        """Return an upload; None if the repository has no such upload."""

    def append(self, repository: str, upload: str, offset: int, chunk: bytes) -> int:
        """Append ``chunk``, which starts at byte ``offset``, and return the new offset.

        Raises UploadOffsetError, UnknownUploadError and StorageFullError; after the last, look up the
        offset again, because a part of the chunk may have been written.
        """

    def finish(self, repository: str, upload: str, digest: str) -> None:
        """Turn an upload into a blob of the repository.

        Raises UnknownUploadError and DigestMismatchError; the latter removes the upload.
        """

    def cancel(self, repository: str, upload: str) -> bool:
        """Remove an upload; return False if the repository has no such upload."""


class Leases(Protocol):
    """When each manifest, blob and upload was last used, so that a collection spares what is in use.

    Times are seconds since the epoch. A lease begins when something is pushed or mounted; looking it
    up renews the lease (`LEASE_RENEWAL_SECONDS`). The removing methods check the lease again while
    they remove, so a manifest or blob that a client has just seen stays.
    """

    def has_manifest(self, repository: str, digest: str, since: float) -> bool:
        """Return whether a manifest was used at or after ``since``."""

    def has_blob(self, repository: str, digest: str, since: float) -> bool:
        """Return whether a blob of the repository was used at or after ``since``."""

    def remove_manifests(self, repository: str, digests: Iterable[str], since: float) -> Sequence[str]:
        """Remove manifests without tags in the given order, up to the first that was used since then.

        Return the digests of those that are gone. The caller holds the repository's lock.
        """

    def remove_blobs(self, repository: str, digests: Iterable[str], since: float) -> int:
        """Remove those of the repository's blobs that were not used since then; return how many."""

    def remove_uploads(self, since: float) -> int:
        """Remove the uploads of all repositories that received nothing since then; return how many."""


class Storage(Protocol):
    """Everything that a registry keeps. A context manager that closes the storage."""

    blobs: Blobs
    """The blobs of each repository."""
    contents: Contents
    """The content of blobs, whichever repository uses it."""
    manifests: Manifests
    """The manifests of each repository."""
    tags: Tags
    """The tags of each repository."""
    referrers: Referrers
    """The manifests that refer to a subject."""
    uploads: Uploads
    """The unfinished uploads of each repository."""
    leases: Leases
    """When each manifest, blob and upload was last used."""
    has_slow_lookups: bool
    """Whether `Blobs.find` and `Manifests.find` wait for a network, so that they need a thread."""

    def repositories(self) -> Sequence[str]:
        """Return the names of all repositories that have, or had, content; sorted."""

    def lock(self, repository: str) -> AbstractContextManager[object]:
        """Return the reentrant lock under which manifests and tags of the repository change."""

    def __enter__(self) -> Storage:
        """Return the storage itself."""

    def __exit__(self, *exception: object) -> None:
        """Close the storage; unfinished uploads continue when it is opened again."""
