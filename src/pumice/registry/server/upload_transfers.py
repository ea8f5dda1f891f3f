from __future__ import annotations

from pumice.registry.server.locks import Locks

_MAX_CHUNK = 1 << 20
_MIN_CHUNK = 64 << 10
_MAX_BUFFERED = 32 << 20
"""Bytes in memory: at most a chunk for each upload, and at most so many for all uploads."""


class UploadTransfers:
    """The uploads that are receiving data: a lock for each, and their number."""

    def __init__(self) -> None:
        self.locks = Locks()
        self.active = 0

    @property
    def chunk_size(self) -> int:
        """Bytes that an upload collects before it writes them."""
        return max(_MIN_CHUNK, min(_MAX_CHUNK, _MAX_BUFFERED // self.active))
