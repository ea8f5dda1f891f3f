"""Text for people: sizes, colours only where they are welcome, nothing that commands a terminal."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


def has_colour(stream: TextIO) -> bool:
    """Say whether colours are welcome: on a terminal, unless NO_COLOR is set (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal(stream: TextIO) -> bool:
    """Say whether a person watches ``stream``."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def printable(text: str) -> str:
    """Return ``text`` without the characters that could command a terminal.

    Names and messages come from recipes, archives and mirrors; none of them may move the cursor.
    Line breaks stay: a proof has several lines.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def size(number: int) -> str:
    """Return a number of bytes for a person, in decimal units as package managers use them."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} PB"
