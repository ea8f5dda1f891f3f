"""What commands print: errors, sizes and tables, and the way to a progress display.

Results go to standard output and nothing else does; everything here that talks to a person
writes to standard error.
"""

from __future__ import annotations

import os
import sys

from pumice.cli.streams import has_colour, is_terminal, unfiltered
from pumice.terminal import printable, printable_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from pumice.errors import PumiceError
    from pumice.progress import Progress

__all__ = [
    "PROGRESS_MODES",
    "describe",
    "has_colour",
    "printable",
    "printable_line",
    "progress",
    "size",
    "table",
]

PROGRESS_MODES = ("auto", "plain", "json", "none")


def progress(mode: str = "auto", stream: TextIO | None = None) -> Progress:
    """Return where a command's progress goes; ``mode`` is one of `PROGRESS_MODES`.

    ``auto`` is a live display on a terminal and plain lines elsewhere. Raises UsageError for
    another mode.
    """
    from pumice.cli import presenters

    stream = unfiltered(sys.stderr if stream is None else stream)
    if mode == "auto":
        mode = "live" if is_terminal(stream) and os.environ.get("TERM") != "dumb" else "plain"
    if mode == "none":
        return presenters.Quiet(stream)
    if mode == "json":
        return presenters.JsonLines(stream)
    if mode == "plain":
        return presenters.Plain(stream)
    if mode == "live":
        return presenters.Live(stream)
    from pumice.errors import UsageError

    raise UsageError(f"there is no progress mode '{mode}'", hint=f"use one of {', '.join(PROGRESS_MODES)}")


def describe(error: PumiceError, *, colour: bool = False) -> str:
    """Return an error as the lines that a person reads, one ``error:`` for each problem."""
    from pumice.errors import RecipeError

    problems = error.problems if isinstance(error, RecipeError) else (error,)
    red, cyan, plain = ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") if colour else ("", "", "")
    lines = []
    for problem in problems:
        place = f"{printable_line(problem.where)}: " if problem.where else ""
        lines.append(f"{red}error:{plain} {place}{printable(problem.message)}")
        if problem.hint:
            lines.append(f"  {cyan}hint:{plain} {printable(problem.hint)}")
    return "\n".join(lines) + "\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return rows as aligned columns, those whose numbers are in ``right`` flush right."""
    lines = [[printable_line(cell) for cell in line] for line in (heads, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "".join(_aligned(line, widths, right) + "\n" for line in lines)


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


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
