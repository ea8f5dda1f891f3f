"""Referrers: for each subject, a directory with the descriptors of the manifests that refer to it.

A descriptor counts only as long as its manifest exists.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.registry.server.storage.disk import paths
from pumice.registry.server.storage.disk.documents import list_digests, read_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.registry.server.storage.disk.documents import DocumentWriter
    from pumice.registry.server.storage.disk.filesystem import DurableDirectories
    from pumice.registry.server.storage.protocol import Referrer


class DiskReferrers:
    """Implements `protocol.Referrers`."""

    def __init__(self, root: str, writer: DocumentWriter, directories: DurableDirectories) -> None:
        self._root = root
        self._writer = writer
        self._directories = directories

    def list(self, repository: str, subject: str) -> Sequence[bytes]:
        """Return the descriptors of existing manifests that refer to ``subject``."""
        directory = self._directory(repository, subject)
        manifests = paths.repository_directory(self._root, repository, paths.MANIFESTS)
        descriptors = []
        for digest in list_digests(directory):
            if os.path.exists(os.path.join(manifests, paths.file_name(digest))):
                descriptor = read_document(os.path.join(directory, paths.file_name(digest)))
                if descriptor is not None:
                    descriptors.append(descriptor)
        return descriptors

    def write(self, repository: str, digest: str, referrer: Referrer) -> None:
        """Store the descriptor of a manifest under its subject, durably; raises OSError."""
        directory = self._directory(repository, referrer.subject)
        self._directories.ensure(directory)
        self._writer.write(os.path.join(directory, paths.file_name(digest)), referrer.descriptor)
        self._directories.sync(directory)

    def remove(self, repository: str, digest: str, subject: str) -> None:
        """Remove the descriptor of a manifest that is gone; it does not count any more, so no fsync."""
        self._writer.remove(os.path.join(self._directory(repository, subject), paths.file_name(digest)))

    def _directory(self, repository: str, subject: str) -> str:
        directory = paths.repository_directory(self._root, repository, paths.REFERRERS)
        return os.path.join(directory, paths.file_name(subject))
