"""Tags: for each tag of a repository, a file that contains a digest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.errors import StoreError
from pumice.os_errors import translate_os_errors
from pumice.registry.server import grammar
from pumice.registry.server.storage.disk import paths
from pumice.registry.server.storage.disk.documents import list_names, read_document
from pumice.registry.server.storage.disk.filesystem import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.registry.server.storage.disk.documents import DocumentWriter
    from pumice.registry.server.storage.disk.filesystem import DurableDirectories
    from pumice.registry.server.storage.disk.locks import RepositoryLocks
    from pumice.registry.server.storage.disk.manifest_cache import ManifestCache


class DiskTags:
    """Implements `protocol.Tags`."""

    def __init__(
        self,
        root: str,
        writer: DocumentWriter,
        directories: DurableDirectories,
        locks: RepositoryLocks,
        cache: ManifestCache,
    ) -> None:
        self._root = root
        self._writer = writer
        self._directories = directories
        self._locks = locks
        self._cache = cache

    def read(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag points to."""
        content = read_document(self._path(repository, tag))
        if content is None:
            return None
        digest = content.decode("ascii", "replace").strip()
        if not grammar.DIGEST.fullmatch(digest):
            raise StoreError(f"the registry's tag {repository}:{tag} is damaged", hint="push it again")
        return digest

    def write(self, repository: str, tags: Sequence[str], digest: str) -> None:
        """Point tags to a manifest, durably; raises OSError. The caller invalidates the cache."""
        for tag in tags:
            self._writer.write(self._path(repository, tag), digest.encode() + b"\n")
        if tags:
            self._directories.sync(self._directory(repository))

    def delete(self, repository: str, tag: str) -> bool:
        """Remove a tag but not its manifest."""
        path = self._path(repository, tag)
        with translate_os_errors(f"{repository}:{tag}", REGISTRY), self._locks.lock(repository):
            try:
                if not self._writer.remove(path):
                    return False
            finally:
                self._cache.invalidate(repository, tag)
            self._directories.sync(self._directory(repository))
        return True

    def delete_all(self, repository: str, digest: str) -> None:
        """Remove all tags that point to a manifest, durably; raises OSError."""
        tags = [tag for tag in self.list(repository) or () if self._points_to(repository, tag, digest)]
        try:
            for tag in tags:
                self._writer.remove(self._path(repository, tag))
            if tags:
                self._directories.sync(self._directory(repository))
        finally:
            self._cache.invalidate(repository, *tags)

    def list(self, repository: str) -> Sequence[str] | None:
        """Return all tags in ASCII order."""
        names = list_names(self._directory(repository))
        return None if names is None else sorted(name for name in names if paths.is_tag(name))

    def check(self, tags: Sequence[str]) -> None:
        """Raise FormatError if any of the tags is not valid."""
        for tag in tags:
            paths.check_tag(tag)

    def _points_to(self, repository: str, tag: str, digest: str) -> bool:
        try:
            return self.read(repository, tag) == digest
        except StoreError:
            return False

    def _directory(self, repository: str) -> str:
        return paths.repository_directory(self._root, repository, paths.TAGS)

    def _path(self, repository: str, tag: str) -> str:
        return os.path.join(self._directory(repository), paths.check_tag(tag))
