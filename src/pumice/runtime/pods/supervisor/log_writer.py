"""The log of a pod: a line ``TIME stream F|P text`` for each line of output, as in CRI logs.

``P`` marks a part of a line that was too long, or had no end. When the log has reached its limit, it becomes
``log.1`` and a new one begins.
"""

from __future__ import annotations

import os
import time

from pumice.runtime.pods.supervisor.pod_files import format_time
from pumice.runtime.sandbox.descriptors import write_all

NAME, PREVIOUS = "log", "log.1"
_MAX_LINE = 1 << 16
_MAX_LINES = 1 << 16
"""Bytes of lines that get their heads at once; if they are empty, the result has forty times as many."""


class LogWriter:
    """The open log. Output that cannot be written, because the disk is full, is dropped."""

    def __init__(self, directory: int, limit: int) -> None:
        self._directory = directory
        self._limit = limit
        self._pending = {"stdout": b"", "stderr": b""}
        self._descriptor = self._open()
        self._size = os.fstat(self._descriptor).st_size

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(NAME, flags, 0o600, dir_fd=self._directory)

    def add(self, stream: str, data: bytes) -> None:
        """Add output of ``stream``; what follows the last line feed waits for the rest of its line."""
        end = data.rfind(b"\n") + 1
        for start in range(0, end, _MAX_LINES):
            self._add_lines(stream, data[start : min(start + _MAX_LINES, end)])
        pending = self._pending[stream] + data[end:]
        if len(pending) >= _MAX_LINE:
            self._write(self._head(stream, "P"), pending, b"\n")
            pending = b""
        self._pending[stream] = pending

    def _add_lines(self, stream: str, data: bytes) -> None:
        """Write lines; the last one can be incomplete."""
        pending = self._pending[stream]
        end = data.rfind(b"\n") + 1
        if not end:
            self._pending[stream] = pending + data
            return
        head = self._head(stream, "F")
        lines = data.replace(b"\n", b"\n" + head)
        # What follows the last line feed, after a head of its own, is cut off without a copy.
        size = len(lines) - (len(data) - end) - len(head)
        self._write(head, pending, memoryview(lines)[:size])
        self._pending[stream] = data[end:]

    def close(self) -> None:
        """Write what has no line feed, and close the file."""
        for stream, pending in self._pending.items():
            if pending:
                self._write(self._head(stream, "P"), pending, b"\n")
        os.close(self._descriptor)

    @staticmethod
    def _head(stream: str, mark: str) -> bytes:
        return f"{format_time(time.time())} {stream} {mark} ".encode()

    def _write(self, *parts: bytes | memoryview) -> None:
        size = sum(map(len, parts))
        try:
            if self._size and self._size + size > self._limit:
                os.rename(NAME, PREVIOUS, src_dir_fd=self._directory, dst_dir_fd=self._directory)
                os.close(self._descriptor)
                self._descriptor = self._open()
                self._size = 0
            written_size = os.writev(self._descriptor, parts)
            if written_size < size:
                write_all(self._descriptor, b"".join(parts)[written_size:])
            self._size += size
        except OSError:  # the program must not wait for space on the disk
            pass
