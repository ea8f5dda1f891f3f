"""A bounded memory of what is on disk. Sound because one process alone changes a registry's root."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Value = TypeVar("Value")

_OVERHEAD = 400
"""Bytes that an entry takes beside its content, about."""


class Cache(Generic[Value]):
    """Values by repository and name, the oldest forgotten first when they are too large together.

    Looking takes no lock. A value that was read before something changed is not kept (`epoch`), so
    what `forget` forgot never comes back.
    """

    def __init__(self, limit: int) -> None:
        """``limit`` is in bytes."""
        self._limit = limit
        self._held = 0
        self._entries: dict[tuple[str, str], tuple[Value, int]] = {}
        self._lock = threading.Lock()
        self.epoch = 0
        """To be read before the disk is, and given to `keep`."""

    def get(self, repository: str, name: str) -> Value | None:
        """Return what is remembered."""
        entry = self._entries.get((repository, name))
        return None if entry is None else entry[0]

    def keep(self, repository: str, name: str, value: Value, size: int, epoch: int) -> None:
        """Remember a value of ``size`` bytes that was read when the epoch was ``epoch``."""
        size += _OVERHEAD
        if size > self._limit // 2:
            return
        with self._lock:
            if epoch != self.epoch:
                return
            self._drop((repository, name))
            while self._held + size > self._limit:
                self._drop(next(iter(self._entries)))
            self._entries[repository, name] = (value, size)
            self._held += size

    def forget(self, repository: str, *names: str) -> None:
        """Forget values because they changed on disk; call it after the change."""
        with self._lock:
            self.epoch += 1
            for name in names:
                self._drop((repository, name))

    def _drop(self, key: tuple[str, str]) -> None:
        _, size = self._entries.pop(key, (None, 0))
        self._held -= size
