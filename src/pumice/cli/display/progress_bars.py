"""One line of a live progress display: label, bar, percentage, rate and time left, in any width."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from rich.console import Console, ConsoleDimensions
from rich.progress import ProgressColumn
from rich.text import Text

from pumice.cli.display.output import terminal_width
from pumice.cli.display.progress_text import format_rate, format_time_left

if TYPE_CHECKING:
    from typing import TextIO

    from rich.progress import Task

_GAP = 2
_BAR = 12
_MIN_LABEL = 12
_DEFAULT_WIDTH = 80
_DEFAULT_HEIGHT = 24


class StreamConsole(Console):
    """A console with the size of the terminal that it writes to; rich asks standard input first."""

    @property
    def size(self) -> ConsoleDimensions:
        """The columns and lines of the terminal, as they are now."""
        try:
            height = os.get_terminal_size(self.file.fileno()).lines
        except (OSError, ValueError):
            height = 0
        return ConsoleDimensions(
            terminal_width(cast("TextIO", self.file)) or _DEFAULT_WIDTH, height or _DEFAULT_HEIGHT
        )

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        """Ignore the size: the terminal has its own."""


class LineColumn(ProgressColumn):
    """The only column of the display. It is laid out for the width that the terminal has now.

    In a narrow terminal the bar is left out first, then the rate, the amount and the time left.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def render(self, task: Task) -> Text:
        """Return the line of a task, one column shorter than the terminal, so that none wraps."""
        return format_line(task, (terminal_width(self._stream) or _DEFAULT_WIDTH) - 1)


def format_line(task: Task, width: int) -> Text:
    """Return the line of a task in at most ``width`` columns."""
    unit = str(task.fields["unit"])
    fields = {
        "bar": _make_bar(task.percentage) if task.total else None,
        "percentage": Text(f"{task.percentage:3.0f}%" if task.total else "", "progress.percentage"),
        "amount": Text(str(task.fields["amount"]), "dim"),
        "rate": Text(format_rate(task.speed, unit), "progress.data.speed"),
        "time": Text(format_time_left(task.time_remaining), "progress.remaining"),
    }
    shown = {name: text for name, text in fields.items() if text}
    for name in ("bar", "rate", "amount", "time", "percentage"):
        if _total_width(shown) + min(len(task.description), _MIN_LABEL) <= width:
            break
        shown.pop(name, None)
    label = Text(task.description)
    label.truncate(max(width - _total_width(shown), 1), overflow="ellipsis")
    return Text(" " * _GAP).join([label, *shown.values()])


def _total_width(fields: dict[str, Text]) -> int:
    return sum(text.cell_len + _GAP for text in fields.values())


def _make_bar(percentage: float) -> Text:
    filled = int(_BAR * percentage / 100)
    return Text.assemble(("━" * filled, "bar.complete"), ("━" * (_BAR - filled), "bar.back"))
