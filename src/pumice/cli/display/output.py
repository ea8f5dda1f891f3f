"""Format what commands print: errors, sizes and tables.

Only results go to standard output; errors and progress go to standard error.
"""

from __future__ import annotations

import os
import sys

from pumice.cli.display.streams import has_color, is_terminal, unwrap
from pumice.terminal import printable, printable_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from pumice.errors import PumiceError

__all__ = [
    "format_error",
    "format_size",
    "format_table",
    "has_color",
    "list_problems",
    "printable",
    "printable_line",
    "terminal_width",
    "wrap_words",
]


def format_error(error: PumiceError, *, color: bool = False) -> str:
    """Return an error as text, with one ``error:`` line for each problem."""
    red, cyan, plain = ("\x1b[1;31m", "\x1b[36m", "\x1b[0m") if color else ("", "", "")
    lines = []
    for problem in list_problems(error):
        location = f"{printable_line(problem.where)}: " if problem.where else ""
        lines.append(f"{red}error:{plain} {location}{printable(problem.message)}")
        if problem.hint:
            lines.append(f"  {cyan}hint:{plain} {printable(problem.hint)}")
    return "\n".join(lines) + "\n"


def list_problems(error: PumiceError) -> Sequence[PumiceError]:
    """Return what is wrong: the problems of a recipe or a release, or else the error itself."""
    from pumice.errors import RecipeError, SliceError

    return error.problems if isinstance(error, RecipeError | SliceError) else (error,)


def format_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    width: int | None = None,
) -> str:
    """Return rows as aligned columns; the columns whose indexes are in ``right`` are right-aligned.

    The table fits ``width`` columns (default: those of the terminal on standard output; elsewhere any):
    digests are shortened, then the widest columns wrap at words.
    """
    lines = [[printable_line(cell) for cell in line] for line in (heads, *rows)]
    limit = terminal_width(sys.stdout) if width is None else width
    widths = _column_widths(lines)
    if limit is not None and sum(widths) + _GAP * (len(widths) - 1) > limit:
        lines = [[_shorten_digest(cell) for cell in line] for line in lines]
        widths = _fit(_column_widths(lines), limit, frozenset(right))
    return "".join(_align_row(line, widths, right) for line in lines)


_GAP = 2
_MIN_COLUMN = 12
_SHORT_DIGEST = len("sha256:") + 12


def _column_widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]


def _shorten_digest(cell: str) -> str:
    """Return a digest as a prefix of it, which commands accept too; other cells unchanged."""
    return cell[:_SHORT_DIGEST] if cell.startswith("sha256:") and len(cell) == len("sha256:") + 64 else cell


def _fit(widths: list[int], limit: int, fixed: frozenset[int]) -> list[int]:
    """Return ``widths`` with the widest columns narrowed, so that the table fits ``limit`` if it can."""
    flexible = [column for column in range(len(widths)) if column not in fixed]
    excess = sum(widths) + _GAP * (len(widths) - 1) - limit
    while excess > 0 and flexible:
        widest = max(flexible, key=lambda column: widths[column])
        if widths[widest] <= _MIN_COLUMN:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _align_row(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    wrapped = [wrap_words(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for number in range(max(map(len, wrapped))):
        padded = [
            (column[number] if number < len(column) else "").rjust(width)
            if index in right
            else (column[number] if number < len(column) else "").ljust(width)
            for index, (column, width) in enumerate(zip(wrapped, widths, strict=True))
        ]
        lines.append((" " * _GAP).join(padded).rstrip() + "\n")
    return "".join(lines)


def wrap_words(text: str, width: int | None) -> list[str]:
    """Return ``text`` as lines of at most ``width`` columns, broken between words.

    A longer word is broken after its last ``/`` that fits, or else anywhere.
    """
    if width is None or len(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else word
        while len(line) > width:
            cut = line.rfind("/", 1, width) + 1 or width
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line]


def terminal_width(stream: TextIO) -> int | None:
    """Return the number of columns of a terminal, None if ``stream`` is not one.

    ``COLUMNS`` overrides it, as in other programs.
    """
    stream = unwrap(stream)
    if not is_terminal(stream):
        return None
    columns = os.environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and len(columns) < 6:
        return max(int(columns), 1)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


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
