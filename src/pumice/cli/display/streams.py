"""Escape unprintable characters in everything that a command writes to standard output and error.

Commands escape their text where they compose it, because only there it is known what must stay one line.
This filter is the safety net where that was forgotten, and for documents that are written unchanged.
"""

from __future__ import annotations

import codecs
import os
import sys
from contextlib import contextmanager
from itertools import pairwise

from pumice.terminal import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, TextIO


class _EscapingStream:
    """A text stream that escapes unprintable characters; everything else is delegated to the stream."""

    def __init__(self, stream: TextIO) -> None:
        self.unfiltered = stream
        self._bytes = _EscapingBytes(stream)

    def write(self, text: str) -> int:
        """Write ``text`` and return its length."""
        self.unfiltered.write(printable(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    @property
    def buffer(self) -> Any:
        """The stream for bytes: unchanged into files and pipes, escaped for a terminal."""
        stream = self.unfiltered
        return self._bytes if stream.isatty() else stream.buffer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)


class _EscapingBytes:
    """The binary stream of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write ``data``, decoded as UTF-8 and escaped."""
        self._stream.write(printable(self._decoder.decode(bytes(data))))
        return len(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def escape_output() -> Iterator[None]:
    """Escape everything that is written to standard output and error within the context."""
    saved_streams = sys.stdout, sys.stderr
    out: Any = _EscapingStream(sys.stdout) if sys.stdout is not None else None
    err: Any = _EscapingStream(sys.stderr) if sys.stderr is not None else None
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        if (sys.stdout, sys.stderr) == (out, err):  # else other code has replaced them
            sys.stdout, sys.stderr = saved_streams


def unwrap(stream: TextIO) -> TextIO:
    """Return the stream without escaping: for colors and cursor movements."""
    original: TextIO = getattr(stream, "unfiltered", stream)
    return original


def has_color(stream: TextIO) -> bool:
    """Return whether to use color: on a terminal, or if FORCE_COLOR is set; never if NO_COLOR is.

    The variables are those of no-color.org and force-color.org.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (is_terminal(stream) and os.environ.get("TERM") != "dumb")


COLOR_MODES = ("auto", "always", "never")


def find_color_mode(words: Sequence[str]) -> str:
    """Return the value of ``--color`` in a command line, empty if there is none."""
    modes = [following for word, following in pairwise(words) if word == "--color"]
    modes += [word.removeprefix("--color=") for word in words if word.startswith("--color=")]
    return modes[0] if modes and modes[0] in COLOR_MODES else ""


def paint(text: str, code: str) -> str:
    """Return ``text`` in a color or style, a number of ECMA-48 (Select Graphic Rendition)."""
    return f"\x1b[{code}m{text}\x1b[0m"


def set_color_mode(mode: str) -> None:
    """Use color ``always``, ``never``, or ``auto``: as the environment says; for the rest of this process."""
    if mode == "auto":
        return
    chosen, other = ("FORCE_COLOR", "NO_COLOR") if mode == "always" else ("NO_COLOR", "FORCE_COLOR")
    os.environ.pop(other, None)
    os.environ[chosen] = "1"


def is_terminal(stream: TextIO) -> bool:
    """Return whether ``stream`` is a terminal."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False
