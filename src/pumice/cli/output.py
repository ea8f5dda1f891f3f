"""Format what commands print: errors, sizes and tables; and create progress displays.

Only results go to standard output; errors and progress go to standard error.
"""

from __future__ import annotations

import os
import sys

from pumice.cli.streams import has_color, is_terminal, unwrap
from pumice.terminal import printable, printable_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from pumice.errors import PumiceError
    from pumice.progress import Progress

__all__ = [
    "PROGRESS_MODES",
    "format_error",
    "format_size",
    "format_table",
    "has_color",
    "make_progress",
    "printable",
    "printable_line",
]

PROGRESS_MODES = ("auto", "plain", "json", "none")


def make_progress(mode: str = "auto", stream: TextIO | None = None) -> Progress:
    """Return the progress display for ``mode``, one of `PROGRESS_MODES`.

    ``auto`` is a live display on a terminal and plain lines elsewhere. Raises UsageError for an
    unknown mode.
    """
    from pumice.cli import presenters

    stream = unwrap(sys.stderr if stream is None else stream)
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


def format_error(error: PumiceError, *, color: bool = False) -> str:
    """Return an error as text, with one ``error:`` line for each problem."""
    from pumice.errors import RecipeError

    problems = error.problems if isinstance(error, RecipeError) else (error,)
    red, cyan, plain = ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") if color else ("", "", "")
    lines = []
    for problem in problems:
        location = f"{printable_line(problem.where)}: " if problem.where else ""
        lines.append(f"{red}error:{plain} {location}{printable(problem.message)}")
        if problem.hint:
            lines.append(f"  {cyan}hint:{plain} {printable(problem.hint)}")
    return "\n".join(lines) + "\n"


def format_table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return rows as aligned columns; the columns whose indexes are in ``right`` are right-aligned."""
    lines = [[printable_line(cell) for cell in line] for line in (heads, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "".join(_align_row(line, widths, right) + "\n" for line in lines)


def _align_row(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    padded = [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def format_size(number: int) -> str:
    """Return a number of bytes in decimal units, such as ``4.2 MB``."""
    if number < 1000:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} PB"
