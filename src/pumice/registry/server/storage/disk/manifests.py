"""Manifests: for each digest, a file with the media type, a line feed, and the bytes as pushed."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from pumice.errors import FormatError, StoreError
from pumice.os_errors import translate_os_errors
from pumice.registry.server.manifest_references import subject_of
from pumice.registry.server.storage.disk import paths
from pumice.registry.server.storage.disk.documents import list_digests, read_document
from pumice.registry.server.storage.disk.filesystem import REGISTRY
from pumice.registry.server.storage.disk.manifest_cache import CachedManifest
from pumice.registry.server.storage.protocol import LEASE_RENEWAL_SECONDS, StoredManifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pumice.registry.server.storage.disk.documents import DocumentWriter
    from pumice.registry.server.storage.disk.filesystem import DurableDirectories, LeaseTimes
    from pumice.registry.server.storage.disk.locks import RepositoryLocks
    from pumice.registry.server.storage.disk.manifest_cache import ManifestCache
    from pumice.registry.server.storage.disk.referrers import DiskReferrers
    from pumice.registry.server.storage.disk.tags import DiskTags
    from pumice.registry.server.storage.protocol import Referrer


class DiskManifests:
    """Implements `protocol.Manifests`."""

    def __init__(
        self,
        root: str,
        writer: DocumentWriter,
        directories: DurableDirectories,
        lease_times: LeaseTimes,
        locks: RepositoryLocks,
        tags: DiskTags,
        referrers: DiskReferrers,
        cache: ManifestCache,
        clock: Callable[[], float],
    ) -> None:
        self._root = root
        self._writer = writer
        self._directories = directories
        self._lease_times = lease_times
        self._locks = locks
        self._tags = tags
        self._referrers = referrers
        self._cache = cache
        self._clock = clock

    def put(
        self,
        repository: str,
        manifest: StoredManifest,
        tags: Sequence[str] = (),
        referrer: Referrer | None = None,
    ) -> None:
        """Store a manifest, point ``tags`` to it, and list it as a referrer.

        The order matters for a crash: a referrer counts only with its manifest, and a tag needs it.
        """
        if "\n" in manifest.media_type:
            raise FormatError("a media type must not contain a line feed")
        path = self.path(repository, manifest.digest)
        self._tags.check(tags)
        with translate_os_errors(f"{repository}@{manifest.digest}", REGISTRY):
            directory = paths.repository_directory(self._root, repository)
            self._directories.ensure(directory, *paths.CONTENT_DIRECTORIES)
            with self._locks.lock(repository):
                try:
                    if referrer is not None:
                        self._referrers.write(repository, manifest.digest, referrer)
                    self._writer.write(path, manifest.media_type.encode() + b"\n" + manifest.body)
                    self._directories.sync(os.path.dirname(path))
                    self._tags.write(repository, tags, manifest.digest)
                finally:
                    self._cache.invalidate(repository, manifest.digest, *tags)

    def find(self, repository: str, reference: str) -> StoredManifest | None:
        """Return a manifest by tag or digest, checked when it is read into the cache."""
        cached = self._cache.get(repository, reference)
        if cached is not None and self._clock() < cached.lease_renewal:
            return cached.manifest
        epoch = self._cache.epoch
        digest = reference if ":" in reference else self._tags.read(repository, reference)
        loaded = None if digest is None else self._load(repository, digest)
        if loaded is None:
            return None
        self._cache.put(repository, reference, loaded, len(loaded.manifest.body), epoch)
        return loaded.manifest

    def read(self, repository: str, digest: str) -> bytes:
        """Return the bytes of a manifest, without checking them; empty if there is none."""
        return (read_document(self.path(repository, digest)) or b"").partition(b"\n")[2]

    def delete(self, repository: str, digest: str) -> bool:
        """Remove a manifest and all tags that point to it."""
        path = self.path(repository, digest)
        with translate_os_errors(f"{repository}@{digest}", REGISTRY), self._locks.lock(repository):
            if not os.path.exists(path):
                return False
            try:
                self._tags.delete_all(repository, digest)
                self._remove(repository, [digest], float("inf"))
            finally:
                self._cache.invalidate(repository, digest)
        return True

    def list(self, repository: str) -> Sequence[str]:
        """Return the digests of all manifests of the repository, sorted."""
        return list_digests(paths.repository_directory(self._root, repository, paths.MANIFESTS))

    def remove_expired(self, repository: str, digests: Iterable[str], since: float) -> Sequence[str]:
        """Remove manifests without tags, up to the first that was used since then; see `protocol.Leases`."""
        with translate_os_errors(repository, REGISTRY):
            return self._remove(repository, digests, since)

    def path(self, repository: str, digest: str) -> str:
        """Return the path of a manifest's file; raises FormatError."""
        directory = paths.repository_directory(self._root, repository, paths.MANIFESTS)
        return os.path.join(directory, paths.file_name(digest))

    def _remove(self, repository: str, digests: Iterable[str], since: float) -> Sequence[str]:
        subjects: dict[str, str] = {}
        removed = []
        for digest in digests:
            subject = subject_of(self.read(repository, digest))
            if not self._lease_times.remove_expired(self.path(repository, digest), since):
                break
            removed.append(digest)
            if subject is not None:
                subjects[digest] = subject
        if removed:
            self._cache.invalidate(repository, *removed)
            self._directories.sync(paths.repository_directory(self._root, repository, paths.MANIFESTS))
        for digest, subject in subjects.items():
            self._referrers.remove(repository, digest, subject)
        return removed

    def _load(self, repository: str, digest: str) -> CachedManifest | None:
        path = self.path(repository, digest)
        now = self._clock()
        try:
            lease = os.stat(path).st_mtime
        except OSError:
            return None
        document = read_document(path)
        if document is None:
            return None
        if lease + LEASE_RENEWAL_SECONDS < now:
            lease = now
            if not self._lease_times.renew(path, now):
                return None
        media_type, line_feed, body = document.partition(b"\n")
        algorithm, _, hex_digits = digest.partition(":")
        if not line_feed or hashlib.new(algorithm, body).hexdigest() != hex_digits:
            raise StoreError(f"the registry's copy of {repository}@{digest} is damaged", hint="push it again")
        manifest = StoredManifest(digest, media_type.decode("utf-8", "replace"), body)
        return CachedManifest(manifest, lease + LEASE_RENEWAL_SECONDS)
