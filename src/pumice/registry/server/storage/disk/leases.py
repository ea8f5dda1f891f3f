"""Leases: the mtime of a file is the time of the last use of its manifest, blob or upload."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.registry.server.storage.disk.filesystem import is_leased

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pumice.registry.server.storage.disk.blobs import DiskBlobs
    from pumice.registry.server.storage.disk.manifests import DiskManifests
    from pumice.registry.server.storage.disk.uploads import DiskUploads


class DiskLeases:
    """Implements `protocol.Leases`."""

    def __init__(
        self,
        blobs: DiskBlobs,
        manifests: DiskManifests,
        uploads: DiskUploads,
        uploading_repositories: Callable[[], Sequence[str]],
    ) -> None:
        """``uploading_repositories`` returns the names of repositories that have, or had, uploads."""
        self._blobs = blobs
        self._manifests = manifests
        self._uploads = uploads
        self._uploading_repositories = uploading_repositories

    def has_manifest(self, repository: str, digest: str, since: float) -> bool:
        """Return whether a manifest was used at or after ``since``."""
        return is_leased(self._manifests.path(repository, digest), since)

    def has_blob(self, repository: str, digest: str, since: float) -> bool:
        """Return whether a blob of the repository was used at or after ``since``."""
        return is_leased(self._blobs.link_path(repository, digest), since)

    def remove_manifests(self, repository: str, digests: Iterable[str], since: float) -> Sequence[str]:
        """Remove manifests without tags in the given order, up to the first that was used since then."""
        return self._manifests.remove_expired(repository, digests, since)

    def remove_blobs(self, repository: str, digests: Iterable[str], since: float) -> int:
        """Remove those of the repository's blobs that were not used since then."""
        return self._blobs.remove_expired(repository, digests, since)

    def remove_uploads(self, since: float) -> int:
        """Remove the uploads of all repositories that received nothing since then."""
        return sum(
            self._uploads.remove_expired(repository, since) for repository in self._uploading_repositories()
        )
