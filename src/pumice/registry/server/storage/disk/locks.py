"""Locks for the repositories of a storage, used by its threads."""

from __future__ import annotations

import threading
import zlib


class RepositoryLocks:
    """A reentrant lock for each repository; some repositories share one."""

    def __init__(self) -> None:
        self._locks = tuple(threading.RLock() for _ in range(256))

    def lock(self, repository: str) -> threading.RLock:
        """Return the lock under which manifests and tags of the repository change."""
        return self._locks[zlib.crc32(repository.encode()) & 255]
