"""What a test of an image found."""

from __future__ import annotations

import msgspec

MAX_SHOWN = 2000
"""Characters of an actual value that are reported."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An expectation that was not met.

    ``subject`` says what was looked at, such as ``stdout`` or ``mode of /etc/passwd``. A long ``actual`` is
    shortened.
    """

    subject: str
    expected: str
    actual: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A test with the failures that it found, none if it passed.

    ``seconds`` is how long it took. ``stdout`` and ``stderr`` are the end of what the program of a failed
    test wrote.
    """

    test: str
    where: str
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0
    stdout: str = ""
    stderr: str = ""


def shorten(text: str) -> str:
    """Return a text with at most `MAX_SHOWN` characters: its start and its end."""
    if len(text) <= MAX_SHOWN:
        return text
    half = MAX_SHOWN // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters …\n{text[-half:]}"
