"""Answers that were given a moment ago, by path: most pulls are of what was just pulled.

Sound because one process has the storage: whatever changes a repository drops its answers here, before
the change is answered.
"""

from __future__ import annotations

import msgspec

from pumice.registry.server.responses import Answer

_BYTES = 24 << 20
_ENTRIES = 20_000
_LARGEST = 256 << 10


class Entry(msgspec.Struct, frozen=True):
    """An answer, and the repository that one must be allowed to read to get it."""

    repository: str
    answer: Answer
    is_blob: bool
    until: float
    """When the storage has to be asked again: it keeps young what is asked for."""


class Hot:
    """A bounded number of answers; when it is full, the oldest go."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._paths: dict[str, set[str]] = {}
        self._bytes = 0

    def keep(self, path: str, entry: Entry) -> None:
        """Remember an answer, unless it is large."""
        weight = _weight(entry)
        if weight > _LARGEST:
            return
        if path in self.entries:
            self._drop(path)
        while self.entries and (len(self.entries) >= _ENTRIES or self._bytes + weight > _BYTES):
            self._drop(next(iter(self.entries)))
        self.entries[path] = entry
        self._paths.setdefault(entry.repository, set()).add(path)
        self._bytes += weight

    def forget(self, repository: str) -> None:
        """Drop what is known of a repository."""
        for path in self._paths.pop(repository, ()):
            self._bytes -= _weight(self.entries.pop(path))

    def clear(self) -> None:
        """Drop everything."""
        self.entries.clear()
        self._paths.clear()
        self._bytes = 0

    def _drop(self, path: str) -> None:
        entry = self.entries.pop(path)
        self._bytes -= _weight(entry)
        paths = self._paths[entry.repository]
        paths.discard(path)
        if not paths:
            del self._paths[entry.repository]


def _weight(entry: Entry) -> int:
    body = entry.answer.body
    return 512 + (len(body) if isinstance(body, bytes) else 0)
