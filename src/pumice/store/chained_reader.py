"""Read several files as one."""

from __future__ import annotations

import bisect
import io
import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import WriteableBuffer


class ChainedReader(io.RawIOBase):
    """A seekable reader of concatenated parts; keeps one part open at a time."""

    def __init__(self, sizes: Sequence[int], opener: Callable[[int], BinaryIO]) -> None:
        """``opener(index)`` opens the part ``index``, which has ``sizes[index]`` bytes."""
        super().__init__()
        self._starts = [0]
        for size in sizes:
            self._starts.append(self._starts[-1] + size)
        self._opener = opener
        self._position = 0
        self._current = -1
        self._file: BinaryIO | None = None

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in the concatenation."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it, as `io.IOBase.seek` does."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._starts[-1]}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read from the current part, at most the size of the buffer; return the number of bytes."""
        if self._position >= self._starts[-1]:
            return 0
        # The part that starts at or before the position; of empty parts in a row, the last.
        index = bisect.bisect_right(self._starts, self._position) - 1
        file = self._open_part(index)
        file.seek(self._position - self._starts[index])
        view = memoryview(buffer).cast("B")
        readable_size = min(len(view), self._starts[index + 1] - self._position)
        count = file.readinto(view[:readable_size])  # type: ignore[attr-defined]  # BinaryIO lacks it, its files have it
        if not count:
            raise OSError(f"part {index} ends early")
        self._position += count
        return int(count)

    def close(self) -> None:
        """Close the open part."""
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _open_part(self, index: int) -> BinaryIO:
        if self._file is None or index != self._current:
            if self._file is not None:
                self._file.close()
                self._file = None
            self._file = self._opener(index)
            self._current = index
        return self._file
