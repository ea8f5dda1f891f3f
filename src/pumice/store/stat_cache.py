"""What each blob's file looked like when its content was last hashed.

A blob whose size, inode, mtime and ctime are still the recorded ones is trusted without reading it.
The record is one append-only file with a line per blob: ``<hex> <size> <inode> <mtime> <ctime>``,
times in nanoseconds, the last line of a blob counts. Losing any of it costs hashing again, nothing
else, so it is never synced and a line that does not parse is no line.
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_HEX = 64


def look(status: os.stat_result) -> bytes:
    """Return what is remembered of a file."""
    return b"%d %d %d %d" % (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


class Trust:
    """The file of trusted looks. Safe for threads and processes; reads it at the first question only."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: dict[bytes, bytes] = {}
        self._read = 0
        self._inode = -1
        self._guard = threading.Lock()

    def holds(self, hex_digits: str, status: os.stat_result) -> bool:
        """Say whether the blob ``hex_digits`` looks as it did when it was hashed."""
        key = hex_digits.encode()
        line = key + b" " + look(status)
        if self._lines.get(key) == line:
            return True
        self._catch_up()  # another process may have hashed it since we read
        return self._lines.get(key) == line

    def record(self, hex_digits: str, status: os.stat_result) -> None:
        """Remember that a file that looks like ``status`` was hashed and is sound.

        Never fails: where it cannot be written, the next process hashes again.
        """
        key = hex_digits.encode()
        line = key + b" " + look(status)
        self._lines[key] = line
        try:
            # A line feed first, in case that a crash tore the line before; one write, so that lines
            # of concurrent processes do not mix.
            _append(self._path, b"\n" + line + b"\n")
        except OSError:
            pass

    def looks(self, keep: Iterable[str]) -> bytes:
        """Return a fresh file that holds the lines of ``keep`` only."""
        self._catch_up()
        keys = (hex_digits.encode() for hex_digits in keep)
        return b"".join(self._lines[key] + b"\n" for key in keys if key in self._lines)

    def _catch_up(self) -> None:
        with self._guard:
            try:
                fresh = self._fresh()
            except OSError:
                return
            whole = fresh.rfind(b"\n") + 1
            self._read += whole
            # No line is looked at: one that says nothing sensible is never equal to one that would.
            self._lines.update({line[:_HEX]: line for line in fresh[:whole].split(b"\n")})

    def _fresh(self) -> bytes:
        with open(self._path, "rb", buffering=0) as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:  # gc wrote a shorter one
                self._inode, self._read = inode, 0
                self._lines = {}
            file.seek(self._read)
            return file.readall() or b""


def _append(path: str, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
