"""Standard output and error while a command runs: whatever is written to them, nothing unprintable leaves.

Commands make their text printable where they put it together, because only there is it known what is one
line. This is what holds where that was forgotten, and for documents that are passed on as they are.
"""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import contextmanager

from pumice.terminal import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO


class _Printable:
    """A text stream that escapes what is not printable; for the rest it is the stream that it wraps."""

    def __init__(self, stream: TextIO) -> None:
        self.unfiltered = stream
        self._bytes = _PrintableBytes(stream)

    def write(self, text: str) -> int:
        """Write ``text``; return its length, as streams do."""
        self.unfiltered.write(printable(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """Where bytes go: as they are into files and pipes, printable to a terminal."""
        stream = self.unfiltered
        return self._bytes if stream.isatty() else stream.buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


class _PrintableBytes:
    """The bytes of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write ``data`` as the text that it is."""
        self._stream.write(printable(self._decoder.decode(bytes(data))))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def filtered() -> Iterator[None]:
    """Let everything that is written meanwhile pass the filter."""
    before = sys.stdout, sys.stderr
    out: Any = _Printable(sys.stdout) if sys.stdout is not None else None
    err: Any = _Printable(sys.stderr) if sys.stderr is not None else None
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        if (sys.stdout, sys.stderr) == (out, err):  # else somebody else has put others there
            sys.stdout, sys.stderr = before


def unfiltered(stream: TextIO) -> TextIO:
    """Return the stream itself: for what makes colors or moves the cursor on purpose, of printable text."""
    found: TextIO = getattr(stream, "unfiltered", stream)
    return found


def has_colour(stream: TextIO) -> bool:
    """Say whether colours are welcome: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: TextIO) -> bool:
    """Say whether a person watches ``stream``."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
