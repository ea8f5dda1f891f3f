"""A bounded cache of what is on disk. Correct because one process alone changes a registry's directory."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Value = TypeVar("Value")

_ENTRY_OVERHEAD = 400
"""Approximate bytes that an entry takes in addition to its content."""


class MemoryCache(Generic[Value]):
    """Values by repository and name; the oldest are evicted when all together are too large.

    Lookups take no lock. A value that was read before a change is not stored (see ``epoch``), so a
    stale value never comes back after `invalidate`.
    """

    def __init__(self, limit: int) -> None:
        """``limit`` is in bytes."""
        self._limit = limit
        self._size = 0
        self._entries: dict[tuple[str, str], tuple[Value, int]] = {}
        self._lock = threading.Lock()
        self.epoch = 0
        """Read this before reading the disk, and pass it to `put`."""

    def get(self, repository: str, name: str) -> Value | None:
        """Return the cached value."""
        entry = self._entries.get((repository, name))
        return None if entry is None else entry[0]

    def put(self, repository: str, name: str, value: Value, size: int, epoch: int) -> None:
        """Cache a value of ``size`` bytes that was read after the epoch was ``epoch``."""
        size += _ENTRY_OVERHEAD
        if size > self._limit // 2:
            return
        with self._lock:
            if epoch != self.epoch:
                return
            self._evict((repository, name))
            while self._size + size > self._limit:
                self._evict(next(iter(self._entries)))
            self._entries[repository, name] = (value, size)
            self._size += size

    def invalidate(self, repository: str, *names: str) -> None:
        """Drop values that changed on disk; call it after the change."""
        with self._lock:
            self.epoch += 1
            for name in names:
                self._evict((repository, name))

    def _evict(self, key: tuple[str, str]) -> None:
        _, size = self._entries.pop(key, (None, 0))
        self._size -= size
