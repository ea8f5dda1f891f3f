"""The summary at the end of a command: aligned lines for people, one event for programs.

`pumice.cli.display.presenters` displays it on standard error, as the progress mode says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from pumice.cli.display.output import wrap_words
from pumice.cli.display.streams import paint
from pumice.terminal import printable_line

if TYPE_CHECKING:
    from collections.abc import Iterator

Tone = Literal["", "good", "warning", "command"]

_INDENT = "  "
_MIN_WIDTH = 20
_COLORS = {"good": "32", "warning": "33", "command": "36"}


class Row(msgspec.Struct, frozen=True):
    """A line of a summary. ``tone`` is what its color means."""

    label: str
    text: str
    tone: Tone = ""


class Summary(msgspec.Struct, frozen=True):
    """What a command did.

    ``event`` names the event of ``--progress json``, and ``data`` are its values. People read
    ``headline``, the rows, and the lines in ``details``, which are preformatted.
    """

    event: str
    headline: str
    rows: tuple[Row, ...] = ()
    details: tuple[str, ...] = ()
    data: dict[str, Any] = {}


def format_summary(summary: Summary, *, width: int | None = None, color: bool = False) -> str:
    """Return a summary as text without a final line break; rows wrap at words in ``width`` columns."""
    lines = [
        paint(line, "1") if color else line for line in wrap_words(printable_line(summary.headline), width)
    ]
    label_width = max((len(row.label) for row in summary.rows), default=0)
    for row in summary.rows:
        lines += _format_row(row, label_width, width, color)
    lines += [printable_line(line) for line in summary.details]
    return "\n".join(lines)


def _format_row(row: Row, label_width: int, width: int | None, color: bool) -> Iterator[str]:
    label = printable_line(row.label).ljust(label_width)
    hanging = len(_INDENT) * 2 + label_width
    available = None if width is None else max(width - hanging, _MIN_WIDTH)
    for number, line in enumerate(wrap_words(printable_line(row.text), available)):
        head = " " * label_width if number else paint(label, "2") if color else label
        text = paint(line, _COLORS[row.tone]) if color and row.tone else line
        yield f"{_INDENT}{head}{_INDENT}{text}".rstrip()


def format_seconds(seconds: float) -> str:
    """Return a duration for people, such as ``0.1 s``, ``12 s`` or ``3 min 5 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
