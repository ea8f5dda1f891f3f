"""A cache of recent responses by path, because most pulls repeat.

Correct because one process has the storage: whatever changes a repository invalidates its responses here
before the change is acknowledged.
"""

from __future__ import annotations

import msgspec

from pumice.registry.server.responses import ServerResponse

_MAX_BYTES = 24 << 20
_MAX_ENTRIES = 20_000
_MAX_ENTRY_BYTES = 256 << 10
_ENTRY_OVERHEAD = 512


class CacheEntry(msgspec.Struct, frozen=True):
    """A response, and the repository that a client must be allowed to read to receive it."""

    repository: str
    response: ServerResponse
    expires: float
    """After this time a response is read from the storage again, which renews the lease of its content."""


class ResponseCache:
    """A bounded number of responses; the oldest are evicted first."""

    def __init__(self) -> None:
        self.generation = 0
        """Changes when responses are dropped: read it before the storage, and pass it to `put`."""
        self.entries: dict[str, CacheEntry] = {}
        self._paths: dict[str, set[str]] = {}
        self._bytes = 0

    def put(self, path: str, entry: CacheEntry, generation: int) -> None:
        """Cache a response, unless it is large or may be older than a change (see ``generation``)."""
        size = _size_of(entry)
        if size > _MAX_ENTRY_BYTES or generation != self.generation:
            return
        if path in self.entries:
            self._evict(path)
        while self.entries and (len(self.entries) >= _MAX_ENTRIES or self._bytes + size > _MAX_BYTES):
            self._evict(next(iter(self.entries)))
        self.entries[path] = entry
        self._paths.setdefault(entry.repository, set()).add(path)
        self._bytes += size

    def invalidate(self, repository: str) -> None:
        """Drop all responses of a repository."""
        self.generation += 1
        for path in self._paths.pop(repository, ()):
            self._bytes -= _size_of(self.entries.pop(path))

    def clear(self) -> None:
        """Drop all responses."""
        self.generation += 1
        self.entries.clear()
        self._paths.clear()
        self._bytes = 0

    def _evict(self, path: str) -> None:
        entry = self.entries.pop(path)
        self._bytes -= _size_of(entry)
        paths = self._paths[entry.repository]
        paths.discard(path)
        if not paths:
            del self._paths[entry.repository]


def _size_of(entry: CacheEntry) -> int:
    body = entry.response.body
    return _ENTRY_OVERHEAD + (len(body) if isinstance(body, bytes) else 0)
