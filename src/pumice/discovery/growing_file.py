"""A file that one thread writes while others read it, so that a download is converted while it runs."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import PumiceError
from pumice.os_errors import translate_os_errors

if TYPE_CHECKING:
    from io import FileIO


class StaleFileError(PumiceError):
    """The file was replaced, or given up, while it was read: what was read of it counts for nothing."""


class GrowingFile:
    """What is shared by the thread that writes a file and those that read it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._path = Path()
        self._size = 0
        self._is_complete = False
        self._is_stale = False
        self._reader_error: PumiceError | None = None
        self._file: FileIO | None = None

    # The writing thread ---------------------------------------------------------------------------

    def begin(self, path: Path, size: int) -> None:
        """Announce that the file has ``size`` bytes, and that more will be appended.

        With fewer bytes than before it is another file, and its reader must start again.
        """
        with self._changed:
            self._is_stale |= size < self._size
            self._path = path
            self._announce(size)

    def grow(self, size: int) -> None:
        """Announce that the file has ``size`` bytes now; raises the error that its reader failed with."""
        with self._changed:
            if self._reader_error is not None and not self._is_stale:
                raise self._reader_error
            self._announce(size)

    def complete(self, path: Path, size: int) -> None:
        """Announce that the file is complete."""
        with self._changed:
            with translate_os_errors(str(path)):
                is_other = self._file is not None and not os.path.samestat(
                    os.fstat(self._file.fileno()), path.stat()
                )
            self._is_stale |= is_other or size < self._size
            self._path, self._is_complete = path, True
            self._announce(size)

    def abandon(self) -> None:
        """Let the readers fail that still read: nobody needs what they read any more."""
        with self._changed:
            self._is_stale = True
            self._changed.notify_all()

    def _announce(self, size: int) -> None:
        if self._file is None and (size or self._is_complete):  # the caller may rename the file afterwards
            with translate_os_errors(str(self._path)):
                self._file = self._path.open("rb", buffering=0)
        self._size = size
        self._changed.notify_all()

    # The reading threads --------------------------------------------------------------------------

    def reader(self) -> GrowingReader:
        """Return a reader from the beginning; there may be several, in different threads."""
        return GrowingReader(self)

    def read_at(self, position: int, size: int) -> bytes:
        """Return the ``size`` bytes at a position, fewer only at the end; waits until they are written.

        Raises StaleFileError, StoreError.
        """
        available = self.wait_for_size(position + size) - position
        assert self._file is not None  # noqa: S101 - it is opened before its size is announced
        with translate_os_errors(str(self._path)):
            return os.pread(self._file.fileno(), max(0, min(size, available)), position)

    def wait_for_size(self, size: int) -> int:
        """Return the size of the file once it is ``size`` or the file is complete; raises StaleFileError."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_stale or self._is_complete or self._size >= size)
            if self._is_stale:
                raise StaleFileError("the file was replaced while it was read")
            return self._size

    def fail(self, error: PumiceError) -> None:
        """Stop the writing thread with the error that the reader failed with."""
        with self._changed:
            self._reader_error = error

    @property
    def is_stale(self) -> bool:
        """Whether what was read counts for nothing."""
        with self._changed:
            return self._is_stale

    def close(self) -> None:
        """Close the file; the reading threads have ended."""
        if self._file is not None:
            self._file.close()


class GrowingReader:
    """Reads a growing file from its beginning."""

    def __init__(self, file: GrowingFile) -> None:
        self._file = file
        self._position = 0

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end; raises as `GrowingFile.read_at`."""
        data = self._file.read_at(self._position, size)
        self._position += len(data)
        return data
