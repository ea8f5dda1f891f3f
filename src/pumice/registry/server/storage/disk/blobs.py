"""The blobs of repositories: an empty file for each blob that a repository has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.os_errors import translate_os_errors
from pumice.registry.server.storage.disk import paths
from pumice.registry.server.storage.disk.contents import SMALL, read_small
from pumice.registry.server.storage.disk.documents import list_digests
from pumice.registry.server.storage.disk.filesystem import REGISTRY
from pumice.registry.server.storage.disk.memory_cache import MemoryCache
from pumice.registry.server.storage.protocol import LEASE_RENEWAL_SECONDS, LocalFile, StoredBlob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pumice.registry.server.storage.disk.contents import DiskContents
    from pumice.registry.server.storage.disk.filesystem import Disk, DurableDirectories, LeaseTimes


class _CachedBlob(msgspec.Struct, frozen=True):
    blob: StoredBlob
    lease_renewal: float
    """Time at which the lease of its file has to be renewed."""


class DiskBlobs:
    """Implements `protocol.Blobs`."""

    def __init__(
        self,
        fs: Disk,
        root: str,
        directories: DurableDirectories,
        lease_times: LeaseTimes,
        contents: DiskContents,
        clock: Callable[[], float],
        memory: int,
    ) -> None:
        """``memory`` is the size of the cache in bytes."""
        self._fs = fs
        self._root = root
        self._directories = directories
        self._lease_times = lease_times
        self._contents = contents
        self._clock = clock
        self._cache: MemoryCache[_CachedBlob] = MemoryCache(memory)

    def find(self, repository: str, digest: str) -> StoredBlob | None:
        """Return a blob of the repository and renew its lease.

        The content of a small blob is checked when it is read into the cache. A large blob is served
        from its file, which is not hashed again; `check.check` does that.
        """
        cached = self._cache.get(repository, digest)
        if cached is not None and self._clock() < cached.lease_renewal:
            return cached.blob
        epoch = self._cache.epoch
        link = self.link_path(repository, digest)
        path = self._contents.path(digest)
        try:
            lease = os.stat(link).st_mtime
            size = os.stat(path).st_size
        except OSError:
            return None
        now = self._clock()
        if lease + LEASE_RENEWAL_SECONDS < now:
            lease = now
            if not self._lease_times.renew(link, now):
                return None
        content = read_small(path, digest) if size <= SMALL else LocalFile(path)
        if content is None:  # removed since the look at its size
            return None
        blob = StoredBlob(size, content)
        cached = _CachedBlob(blob, lease + LEASE_RENEWAL_SECONDS)
        self._cache.put(repository, digest, cached, size if size <= SMALL else 0, epoch)
        return blob

    def add(self, repository: str, digest: str, scratch: str) -> None:
        """Rename a durable file to be the content of ``digest``, and link it to a repository, durably."""
        with self._contents.pinned(digest), translate_os_errors(digest, REGISTRY):
            self._contents.install(digest, scratch)
            self._add_link(repository, digest)

    def mount(self, repository: str, digest: str, sources: Iterable[str]) -> bool:
        """Add a blob that one of the repositories ``sources`` has."""
        with self._contents.pinned(digest):
            if self._contents.size(digest) is None:
                return False
            for source in sources:
                if os.path.exists(self.link_path(source, digest)):
                    with translate_os_errors(digest, REGISTRY):
                        self._add_link(repository, digest)
                    return True
        return False

    def delete(self, repository: str, digest: str) -> bool:
        """Remove a blob from the repository. A collection removes its content later."""
        link = self.link_path(repository, digest)
        with translate_os_errors(digest, REGISTRY):
            try:
                self._fs.unlink(link)
            except FileNotFoundError:
                return False
            finally:
                self._cache.invalidate(repository, digest)
            self._directories.sync(os.path.dirname(link))
        return True

    def list(self, repository: str) -> Sequence[str]:
        """Return the digests of all blobs of the repository, sorted."""
        return list_digests(paths.repository_directory(self._root, repository, paths.BLOBS))

    def remove_expired(self, repository: str, digests: Iterable[str], since: float) -> int:
        """Remove blobs that were not used since then, with one fsync; return how many."""
        with translate_os_errors(repository, REGISTRY):
            removed = [
                digest
                for digest in digests
                if self._lease_times.remove_expired(self.link_path(repository, digest), since)
            ]
            if removed:
                self._cache.invalidate(repository, *removed)
                self._directories.sync(paths.repository_directory(self._root, repository, paths.BLOBS))
        return len(removed)

    def link_path(self, repository: str, digest: str) -> str:
        """Return the path of the file that marks a blob as the repository's; raises FormatError."""
        directory = paths.repository_directory(self._root, repository, paths.BLOBS)
        return os.path.join(directory, paths.file_name(digest))

    def _add_link(self, repository: str, digest: str) -> None:
        directory = paths.repository_directory(self._root, repository)
        self._directories.ensure(directory, *paths.CONTENT_DIRECTORIES)
        link = self.link_path(repository, digest)
        while not (os.path.exists(link) and self._lease_times.renew(link, self._clock())):
            try:
                self._fs.create(link, 0o644).close()
            except FileExistsError:
                continue
            break
        self._contents.note_link(digest)
        self._directories.sync(os.path.dirname(link))
        self._cache.invalidate(repository, digest)
