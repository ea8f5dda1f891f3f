"""A registry storage in memory: the second implementation of the storage protocol, for contract tests.

Its large blobs are neither bytes nor local files, and its look-ups count as slow, as with an object store.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from pumice.errors import FormatError, StoreError, UsageError
from pumice.registry.server import grammar
from pumice.registry.server.manifest_references import subject_of
from pumice.registry.server.storage import protocol
from pumice.registry.server.storage.protocol import (
    DigestMismatchError,
    Referrer,
    StoredBlob,
    StoredManifest,
    UnknownUploadError,
    UploadOffsetError,
)

SMALL = 1000
CHUNK = 777


class Repository:
    """The data of one repository; times are those of the last use."""

    def __init__(self) -> None:
        self.blobs: dict[str, float] = {}
        self.manifests: dict[str, StoredManifest] = {}
        self.manifest_times: dict[str, float] = {}
        self.tags: dict[str, str] = {}
        self.referrers: dict[str, dict[str, bytes]] = {}
        self.uploads: dict[str, MemoryUpload] = {}
        self.has_content = False


class Data:
    """The data of a registry."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.repositories: dict[str, Repository] = {}
        self.contents: dict[str, bytes] = {}
        self.linked: set[str] | None = None

    def find(self, name: str) -> Repository:
        """Return a repository, an empty one if it does not exist; raises FormatError."""
        if not grammar.is_repository_name(name):
            raise FormatError(f"{name!r} is not a valid repository name")
        return self.repositories.get(name) or Repository()

    def create(self, name: str) -> Repository:
        self.repositories[name] = self.find(name)
        return self.repositories[name]

    def link(self, name: str, digest: str) -> None:
        repository = self.create(name)
        repository.has_content = True
        repository.blobs[digest] = self.clock()
        if self.linked is not None:
            self.linked.add(digest)


def check_digest(text: str) -> str:
    if not grammar.DIGEST.fullmatch(text):
        raise FormatError(f"{text!r} is not a digest")
    return text


def check_tag(text: str) -> str:
    if not grammar.TAG.fullmatch(text):
        raise FormatError(f"{text!r} is not a valid tag")
    return text


def digest_of(data: bytes, algorithm: str) -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class MemoryContent:
    """Implements `protocol.RemoteContent`."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, start: int, end: int) -> Iterator[bytes]:
        for position in range(start, end, CHUNK):
            yield self._data[position : min(position + CHUNK, end)]


class MemoryBlobs:
    def __init__(self, data: Data) -> None:
        self._data = data

    def find(self, repository: str, digest: str) -> StoredBlob | None:
        check_digest(digest)
        with self._data.lock:
            blobs = self._data.find(repository).blobs
            if digest not in blobs:
                return None
            blobs[digest] = self._data.clock()
            content = self._data.contents[digest]
        return StoredBlob(len(content), content if len(content) <= SMALL else MemoryContent(content))

    def mount(self, repository: str, digest: str, sources: Iterable[str]) -> bool:
        check_digest(digest)
        with self._data.lock:
            if digest in self._data.contents and any(
                digest in self._data.find(source).blobs for source in sources
            ):
                self._data.link(repository, digest)
                return True
        return False

    def delete(self, repository: str, digest: str) -> bool:
        with self._data.lock:
            return self._data.find(repository).blobs.pop(check_digest(digest), None) is not None

    def list(self, repository: str) -> Sequence[str]:
        with self._data.lock:
            return sorted(self._data.find(repository).blobs)


class MemoryContents:
    def __init__(self, data: Data) -> None:
        self._data = data

    def list(self) -> Iterator[str]:
        with self._data.lock:
            return iter(sorted(self._data.contents))

    def size(self, digest: str) -> int | None:
        content = self._data.contents.get(check_digest(digest))
        return None if content is None else len(content)

    def read(self, digest: str) -> Iterator[bytes] | None:
        content = self._data.contents.get(check_digest(digest))
        return None if content is None else MemoryContent(content).read(0, len(content))

    @contextmanager
    def collecting(self) -> Iterator[None]:
        self._data.linked = set()
        try:
            yield
        finally:
            self._data.linked = None

    def remove(self, digest: str) -> int:
        with self._data.lock:
            if self._data.linked is None or digest in self._data.linked:
                return 0
            return len(self._data.contents.pop(check_digest(digest), b""))


class MemoryManifests:
    def __init__(self, data: Data) -> None:
        self._data = data

    def put(
        self,
        repository: str,
        manifest: StoredManifest,
        tags: Sequence[str] = (),
        referrer: Referrer | None = None,
    ) -> None:
        check_digest(manifest.digest)
        for tag in tags:
            check_tag(tag)
        with self._data.lock:
            repository_data = self._data.create(repository)
            repository_data.has_content = True
            repository_data.manifests[manifest.digest] = manifest
            repository_data.manifest_times[manifest.digest] = self._data.clock()
            repository_data.tags.update(dict.fromkeys(tags, manifest.digest))
            if referrer is not None:
                repository_data.referrers.setdefault(referrer.subject, {})[manifest.digest] = (
                    referrer.descriptor
                )

    def find(self, repository: str, reference: str) -> StoredManifest | None:
        with self._data.lock:
            repository_data = self._data.find(repository)
            if ":" in reference:
                digest = check_digest(reference)
            else:
                digest = repository_data.tags.get(check_tag(reference), "")
            manifest = repository_data.manifests.get(digest)
            if manifest is not None:
                repository_data.manifest_times[digest] = self._data.clock()
                if digest_of(manifest.body, digest.partition(":")[0]) != digest:
                    raise StoreError(f"the registry's copy of {repository}@{digest} is damaged")
            return manifest

    def read(self, repository: str, digest: str) -> bytes:
        manifest = self._data.find(repository).manifests.get(check_digest(digest))
        return b"" if manifest is None else manifest.body

    def delete(self, repository: str, digest: str) -> bool:
        with self._data.lock:
            repository_data = self._data.find(repository)
            if check_digest(digest) not in repository_data.manifests:
                return False
            repository_data.tags = {
                tag: target for tag, target in repository_data.tags.items() if target != digest
            }
            self.remove(repository_data, digest)
            return True

    def remove(self, repository_data: Repository, digest: str) -> None:
        subject = subject_of(repository_data.manifests.pop(digest).body)
        repository_data.referrers.get(subject or "", {}).pop(digest, None)

    def list(self, repository: str) -> Sequence[str]:
        with self._data.lock:
            return sorted(self._data.find(repository).manifests)


class MemoryTags:
    def __init__(self, data: Data) -> None:
        self._data = data

    def read(self, repository: str, tag: str) -> str | None:
        return self._data.find(repository).tags.get(check_tag(tag))

    def delete(self, repository: str, tag: str) -> bool:
        with self._data.lock:
            return self._data.find(repository).tags.pop(check_tag(tag), None) is not None

    def list(self, repository: str) -> Sequence[str] | None:
        with self._data.lock:
            repository_data = self._data.find(repository)
            return sorted(repository_data.tags) if repository_data.has_content else None


class MemoryReferrers:
    def __init__(self, data: Data) -> None:
        self._data = data

    def list(self, repository: str, subject: str) -> Sequence[bytes]:
        with self._data.lock:
            descriptors = self._data.find(repository).referrers.get(check_digest(subject), {})
            return [descriptors[digest] for digest in sorted(descriptors)]


class MemoryUploadReader:
    def __init__(self, content: bytearray) -> None:
        self._content = content

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._content[offset : offset + length])

    def close(self) -> None:
        pass


class MemoryUpload:
    def __init__(self, content: bytearray, time: float) -> None:
        self.content = content
        self.time = time

    @property
    def offset(self) -> int:
        return len(self.content)

    def open(self) -> MemoryUploadReader:
        return MemoryUploadReader(self.content)


class MemoryUploads:
    def __init__(self, data: Data) -> None:
        self._data = data

    def begin(self, repository: str, algorithm: str = "sha256") -> str:
        del algorithm
        upload = secrets.token_hex(16)
        with self._data.lock:
            uploads = self._data.create(repository).uploads
            uploads[upload] = MemoryUpload(bytearray(), self._data.clock())
        return upload

    def find(self, repository: str, upload: str) -> MemoryUpload | None:
        return self._data.find(repository).uploads.get(upload)

    def append(self, repository: str, upload: str, offset: int, chunk: bytes) -> int:
        with self._data.lock:
            memory_upload = self._require(repository, upload)
            if offset != memory_upload.offset:
                raise UploadOffsetError(memory_upload.offset)
            memory_upload.content += chunk
            memory_upload.time = self._data.clock()
            return memory_upload.offset

    def finish(self, repository: str, upload: str, digest: str) -> None:
        with self._data.lock:
            content = bytes(self._require(repository, upload).content)
            del self._data.find(repository).uploads[upload]
            if digest_of(content, check_digest(digest).partition(":")[0]) != digest:
                raise DigestMismatchError(f"the uploaded content does not have the digest {digest}")
            self._data.contents[digest] = content
            self._data.link(repository, digest)

    def cancel(self, repository: str, upload: str) -> bool:
        with self._data.lock:
            return self._data.find(repository).uploads.pop(upload, None) is not None

    def _require(self, repository: str, upload: str) -> MemoryUpload:
        memory_upload = self.find(repository, upload)
        if memory_upload is None:
            raise UnknownUploadError
        return memory_upload


class MemoryLeases:
    def __init__(self, data: Data, manifests: MemoryManifests) -> None:
        self._data = data
        self._manifests = manifests

    def has_manifest(self, repository: str, digest: str, since: float) -> bool:
        repository_data = self._data.find(repository)
        return digest in repository_data.manifests and repository_data.manifest_times[digest] >= since

    def has_blob(self, repository: str, digest: str, since: float) -> bool:
        return self._data.find(repository).blobs.get(digest, since - 1) >= since

    def remove_manifests(self, repository: str, digests: Iterable[str], since: float) -> Sequence[str]:
        removed_digests: list[str] = []
        with self._data.lock:
            repository_data = self._data.find(repository)
            for digest in digests:
                if self.has_manifest(repository, digest, since):
                    break
                self._manifests.remove(repository_data, digest)
                removed_digests.append(digest)
        return removed_digests

    def remove_blobs(self, repository: str, digests: Iterable[str], since: float) -> int:
        with self._data.lock:
            blobs = self._data.find(repository).blobs
            expired = [digest for digest in digests if not self.has_blob(repository, digest, since)]
            return sum(blobs.pop(digest, None) is not None for digest in expired)

    def remove_uploads(self, since: float) -> int:
        removed_count = 0
        with self._data.lock:
            for repository_data in self._data.repositories.values():
                expired = [name for name, upload in repository_data.uploads.items() if upload.time < since]
                for name in expired:
                    del repository_data.uploads[name]
                removed_count += len(expired)
        return removed_count


class MemoryStorage:
    """Implements `protocol.Storage`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._data = Data(clock)
        manifests = MemoryManifests(self._data)
        self.has_slow_lookups = True
        self.blobs: protocol.Blobs = MemoryBlobs(self._data)
        self.contents: protocol.Contents = MemoryContents(self._data)
        self.manifests: protocol.Manifests = manifests
        self.tags: protocol.Tags = MemoryTags(self._data)
        self.referrers: protocol.Referrers = MemoryReferrers(self._data)
        self.uploads: protocol.Uploads = MemoryUploads(self._data)
        self.leases: protocol.Leases = MemoryLeases(self._data, manifests)

    def repositories(self) -> Sequence[str]:
        with self._data.lock:
            return sorted(
                name
                for name, repository_data in self._data.repositories.items()
                if repository_data.has_content
            )

    def lock(self, repository: str) -> AbstractContextManager[object]:
        del repository
        return self._data.lock

    def __enter__(self) -> MemoryStorage:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def open_memory(location: str, *, create: bool) -> MemoryStorage:
    """Open an empty storage; the backend for ``storage.backends.BACKENDS``."""
    if not create:
        raise UsageError("a storage in memory cannot exist before it is created", where=location)
    return MemoryStorage()
