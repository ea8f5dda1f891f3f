"""Cache the stamp of each blob's file, so that unchanged blobs need no hashing again.

A blob whose stamp (`pumice.files.file_stamp`) is the recorded one is trusted without reading it. The cache
is one append-only file with a line per blob: ``<hex> <size> <inode> <mtime> <ctime>``, times in
nanoseconds; the last line of a blob counts. Losing lines only costs hashing again, so the file is never
synced and a malformed line is ignored. Many processes append to it at once, which is why it is not a
record rewritten as a whole, as for a layout (`pumice.image.stat_cache`).
"""

from __future__ import annotations

import os
import threading

from pumice.files import file_stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_HEX = 64


def encode_stamp(status: os.stat_result) -> bytes:
    """Return the stamp of a file as it is written to the cache file."""
    inode, size, mtime, ctime = file_stamp(status)
    return b"%d %d %d %d" % (size, inode, mtime, ctime)


class BlobStatCache:
    """The cache file. Safe for threads and processes; reads the file on the first cache miss."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: dict[bytes, bytes] = {}
        self._offset = 0
        self._inode = -1
        self._guard = threading.Lock()

    def is_unchanged(self, hex_digits: str, status: os.stat_result) -> bool:
        """Return whether the file of the blob ``hex_digits`` has the stamp that it was hashed with."""
        key = hex_digits.encode()
        line = key + b" " + encode_stamp(status)
        if self._lines.get(key) == line:
            return True
        self._read_appended()  # another process may have hashed it since the last read
        return self._lines.get(key) == line

    def record(self, hex_digits: str, status: os.stat_result) -> None:
        """Record that the blob's file, while it has this ``status``, has the right content.

        Never fails: if the cache cannot be written, the next process hashes again.
        """
        key = hex_digits.encode()
        line = key + b" " + encode_stamp(status)
        self._lines[key] = line
        try:
            # Start with a line feed in case a crash truncated the previous line. One write, so that
            # lines of concurrent processes do not mix.
            _append(self._path, b"\n" + line + b"\n")
        except OSError:
            pass

    def encode_entries(self, keep: Iterable[str]) -> bytes:
        """Return the content of a cache file that has the entries of ``keep`` only."""
        self._read_appended()
        keys = (hex_digits.encode() for hex_digits in keep)
        return b"".join(self._lines[key] + b"\n" for key in keys if key in self._lines)

    def _read_appended(self) -> None:
        with self._guard:
            try:
                appended = self._read_new_lines()
            except OSError:
                return
            complete_length = appended.rfind(b"\n") + 1
            self._offset += complete_length
            # Lines need no parsing: a malformed line never equals a well-formed one.
            self._lines.update({line[:_HEX]: line for line in appended[:complete_length].split(b"\n")})

    def _read_new_lines(self) -> bytes:
        with open(self._path, "rb", buffering=0) as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:  # gc replaced the file
                self._inode, self._offset = inode, 0
                self._lines = {}
            file.seek(self._offset)
            return file.readall() or b""


def _append(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
