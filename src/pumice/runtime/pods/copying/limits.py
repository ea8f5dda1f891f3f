"""How much one copy may be, because a sparse file or an endless tree costs its creator nothing."""

from __future__ import annotations

from pumice.errors import FormatError

MAX_BYTES = 64 << 30
"""The default limit of the content of one copy."""
MAX_ENTRIES = 2_000_000
MAX_DEPTH = 256
"""The most levels of directories: each has a descriptor while it is read."""


class CopyLimits:
    """Counts what was copied; raises FormatError when it is too much."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._bytes, self._entries = max_bytes, MAX_ENTRIES
        self._max_bytes = max_bytes

    def count(self, size: int, depth: int = 0) -> None:
        """Count one more file of ``size`` bytes that is ``depth`` directories deep."""
        self._bytes -= size
        self._entries -= 1
        if self._bytes < 0:
            raise FormatError(
                f"the files are larger than {self._max_bytes} bytes in total",
                hint="copy less, or raise the limit with --max-size",
            )
        if self._entries < 0:
            raise FormatError(f"there are more than {MAX_ENTRIES} files")
        if depth > MAX_DEPTH:
            raise FormatError(f"there are more than {MAX_DEPTH} levels of directories")
