"""The output of a pod in the foreground."""

from __future__ import annotations

from pumice.runtime.sandbox.descriptors import write_all

_NUMBERS = {"stdout": 1, "stderr": 2}
_MAX_LINE = 1 << 16


class Output:
    """Copies what an app writes to our own streams; with a prefix, it is put before each line."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix.encode()
        self._pending = {"stdout": b"", "stderr": b""}

    def write(self, stream: str, data: bytes) -> None:
        """Copy output of ``stream``."""
        if not self._prefix:
            _write(stream, data)
            return
        complete, feed, pending = (self._pending[stream] + data).rpartition(b"\n")
        if feed:
            _write(stream, self._prefix + complete.replace(b"\n", b"\n" + self._prefix) + b"\n")
        if len(pending) >= _MAX_LINE:
            _write(stream, self._prefix + pending + b"\n")
            pending = b""
        self._pending[stream] = pending

    def close(self) -> None:
        """Copy what has no line feed."""
        for stream, pending in self._pending.items():
            if pending:
                _write(stream, self._prefix + pending + b"\n")


def _write(stream: str, data: bytes) -> None:
    try:
        write_all(_NUMBERS[stream], data)
    except OSError:  # nobody reads it any more; the log has it
        pass
