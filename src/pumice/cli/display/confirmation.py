"""Questions to the person at the terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.trust.unsigned_images import UnsignedImage

_MAX_ANSWER = 1000


def has_person() -> bool:
    """Return whether a person can be asked: standard input and standard error are terminals."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


def unsigned_image_question() -> Callable[[UnsignedImage], bool] | None:
    """Return what asks whether to accept an unsigned image, None without a terminal."""
    return _accepts_unsigned_image if has_person() else None


def _accepts_unsigned_image(image: UnsignedImage) -> bool:
    from pumice.terminal import printable_line

    lines = [
        f"{image.name or image.reference} is not signed: nobody vouches for what is in it",
        f"digest     {image.digest}",
        f"platforms  {', '.join(image.platforms)}",
        "If you accept it, this digest is accepted as this name from now on, until 'pumice trust remove'.",
    ]
    sys.stderr.write("".join(f"{printable_line(line)}\n" for line in lines))
    return ask("Accept it? [y/N] ")


def ask(question: str) -> bool:
    """Return whether the person answers yes; everything else, and no answer, is no.

    Input is read byte by byte, so that the rest of it is left for the program that is run.
    """
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = bytearray()
    descriptor = sys.stdin.fileno()
    while len(answer) < _MAX_ANSWER and not answer.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            sys.stderr.write("\n")
            return False
        answer += byte
    return bytes(answer).strip().lower() in (b"y", b"yes")
