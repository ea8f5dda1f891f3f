"""The lines of files that the kernel, the C library or dpkg reads."""

from __future__ import annotations


def split_lines(text: str) -> list[str]:
    """Return the lines of a text, without their ends. Only a newline ends a line, as in C.

    `str.splitlines` also splits at nine other characters, such as U+0085 and U+2028. A path or a name may
    have them, and what follows would pass for a line of its own.
    """
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]
