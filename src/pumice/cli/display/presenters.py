"""The progress displays. All methods may be called from any thread."""

from __future__ import annotations

import threading
import time

from pumice.cli.display.output import format_error, list_problems, terminal_width
from pumice.cli.display.progress_text import format_amount, format_progress
from pumice.cli.display.streams import has_color
from pumice.terminal import printable_line as printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    import rich.progress

    from pumice.cli.display.summaries import Summary
    from pumice.errors import PumiceError
    from pumice.progress import Task

PLAIN_INTERVAL = 10.0
"""Seconds between two lines about the same task in a plain log."""

JSON_INTERVAL = 0.1
"""Seconds between two JSON events about the same task."""

NOTE_PREFIX = "note: "
"""Begins notes that are findings, like warnings, and not reports of what a command did."""

LIVE_DELAY = 0.2
"""Seconds before a live display appears; importing it takes longer than most short tasks."""


class Quiet:
    """A display of warnings only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        """Begin an operation that is not displayed."""
        return _Task(self, label, total, unit)

    def note(self, message: str) -> None:
        """Ignore the note."""

    def warn(self, message: str) -> None:
        """Write one line."""
        self._line(f"{_colorize('warning:', '33', self._stream)} {printable(message)}")

    def finish(self, summary: Summary) -> None:
        """Ignore the summary of what the command did."""

    def finish_item(self, summary: Summary) -> None:
        """Ignore the summary of one of several recipes; that of the command lists it."""

    def fail_item(self, item: str, error: PumiceError) -> None:  # noqa: ARG002 - for programs
        """Write the error of one of several recipes, while the others go on."""
        self._write_above(format_error(error, color=has_color(self._stream)).rstrip("\n"))

    def _write_above(self, text: str) -> None:
        """Write lines that are printable already."""
        self._line(text)

    def task_began(self, task: _Task) -> None:
        """React to the start of ``task``."""

    def task_advanced(self, task: _Task) -> None:
        """React to the progress of ``task``."""

    def task_ended(self, task: _Task, ok: bool) -> None:
        """React to the end of ``task``."""

    def _line(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"{text}\n")
            self._stream.flush()


class Plain(Quiet):
    """A line when an operation begins and another one from time to time while it runs: for logs.

    An operation that begins while another one runs is part of that, and gets no line of its own.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown: _Task | None = None

    def note(self, message: str) -> None:
        """Write one line."""
        self._line(_format_note(message, self._stream))

    def finish(self, summary: Summary) -> None:
        """Write the summary."""
        self._line(_format_summary(summary, self._stream))

    def task_began(self, task: _Task) -> None:
        """Write one line about the operation."""
        with self._lock:
            if self._shown is not None:
                return
            self._shown = task
        amount = f" ({format_amount(task.total, task.unit)})" if task.total else ""
        self._line(f"{printable(task.label)}{amount}")

    def task_advanced(self, task: _Task) -> None:
        """Write from time to time how much is done, how fast, and how long the rest takes."""
        if task is self._shown and task.is_due(PLAIN_INTERVAL):
            progress = format_progress(task.done, task.total, task.unit, task.elapsed())
            self._line(f"{printable(task.label)}: {progress}")

    def task_ended(self, task: _Task, ok: bool) -> None:  # noqa: ARG002 - not shown here
        """Allow the next operation to be displayed."""
        with self._lock:
            if task is self._shown:
                self._shown = None


class JsonLines(Quiet):
    """One JSON object per line, as ``docs/reference/environment.md`` specifies."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._count = 0

    def note(self, message: str) -> None:
        """Write an event ``note``."""
        self._event(event="note", message=message.removeprefix(NOTE_PREFIX))

    def warn(self, message: str) -> None:
        """Write an event ``warning``."""
        self._event(event="warning", message=message)

    def finish(self, summary: Summary) -> None:
        """Write the event of the summary."""
        self._event(event=summary.event, **summary.data)

    def finish_item(self, summary: Summary) -> None:
        """Write the event of the summary."""
        self.finish(summary)

    def fail_item(self, item: str, error: PumiceError) -> None:
        """Write an event ``failed``, with each problem of the recipe."""
        problems = [
            {"where": problem.where, "message": problem.message, "hint": problem.hint}
            for problem in list_problems(error)
        ]
        self._event(event="failed", recipe=item, exit_code=error.exit_code, problems=problems)

    def task_began(self, task: _Task) -> None:
        """Write an event ``begin``, which gives the task its number."""
        with self._lock:
            self._count += 1
            task.number = self._count
        self._event(event="begin", task=task.number, label=task.label, total=task.total, unit=task.unit)

    def task_advanced(self, task: _Task) -> None:
        """Write an event ``advance``, from time to time."""
        if task.is_due(JSON_INTERVAL):
            self._event(event="advance", task=task.number, done=task.done)

    def task_ended(self, task: _Task, ok: bool) -> None:
        """Write an event ``end``."""
        self._event(event="end", task=task.number, done=task.done, ok=ok)

    def _event(self, **fields: object) -> None:
        import json

        self._line(json.dumps(fields, separators=(",", ":")))


class Live(Quiet):
    """Progress bars on a terminal, which appear only for operations that take time."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._state = threading.RLock()
        self._running: list[_Task] = []
        self._display: rich.progress.Progress | None = None
        self._timer: threading.Timer | None = None
        self.display_shown = threading.Event()

    def note(self, message: str) -> None:
        """Write one line above the bars."""
        self._write_above(_format_note(message, self._stream))

    def warn(self, message: str) -> None:
        """Write one line above the bars."""
        self._write_above(f"{_colorize('warning:', '33', self._stream)} {printable(message)}")

    def finish(self, summary: Summary) -> None:
        """Write the summary."""
        self._line(_format_summary(summary, self._stream))

    def task_began(self, task: _Task) -> None:
        """Add a bar, or start the timer after which bars appear."""
        with self._state:
            self._running.append(task)
            if self._display is not None:
                self._add_bar(self._display, task)
            elif self._timer is None:
                self._timer = threading.Timer(LIVE_DELAY, self._show_display)
                self._timer.daemon = True
                self._timer.start()

    def task_advanced(self, task: _Task) -> None:
        """Update the bar."""
        display = self._display
        if display is not None and task.number:
            display.update(rich_id(task), completed=task.done)

    def task_ended(self, task: _Task, ok: bool) -> None:  # noqa: ARG002 - not shown here
        """Remove the bar, and the display with the last bar."""
        with self._state:
            self._running.remove(task)
            if self._display is not None and task.number:
                self._display.remove_task(rich_id(task))
            if self._running:
                return
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._display is not None:
                self._display.stop()
                self._display = None

    def refresh(self) -> None:
        """Draw the bars now instead of at the next of ten times per second."""
        with self._state:
            if self._display is not None:
                self._display.refresh()

    def _show_display(self) -> None:
        from rich.progress import Progress

        from pumice.cli.display.progress_bars import LineColumn, StreamConsole

        with self._state:
            if not self._running:
                return
            self._display = Progress(
                LineColumn(self._stream),
                console=StreamConsole(file=self._stream, no_color=not has_color(self._stream)),
                transient=True,
            )
            for task in self._running:
                self._add_bar(self._display, task)
            self._display.start()
            self.display_shown.set()

    def _add_bar(self, display: rich.progress.Progress, task: _Task) -> None:
        amount = format_amount(task.total, task.unit) if task.total else ""
        # Numbers start at 1, because 0 means that the task has no bar.
        rich_task = display.add_task(
            printable(task.label), total=task.total, completed=task.done, amount=amount, unit=task.unit
        )
        task.number = int(rich_task) + 1

    def _write_above(self, text: str) -> None:
        with self._state:
            if self._display is None:
                self._line(text)
            else:
                self._display.console.print(text, markup=False, highlight=False)


def rich_id(task: _Task) -> Any:
    """Return the identifier of ``task`` in rich."""
    return task.number - 1


class _Task:
    """An operation in progress, which reports to its display."""

    def __init__(self, presenter: Quiet, label: str, total: int | None, unit: str) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = 0
        self.number = 0
        self._presenter = presenter
        self._lock = threading.Lock()
        self._started = self._last_report = time.monotonic()
        presenter.task_began(self)

    def advance(self, amount: int) -> None:
        """Report that ``amount`` more units are done."""
        with self._lock:
            self.done += amount
        self._presenter.task_advanced(self)

    def elapsed(self) -> float:
        """Return for how many seconds the task has run."""
        return time.monotonic() - self._started

    def is_due(self, seconds: float) -> bool:
        """Return whether ``seconds`` have passed since this last returned True."""
        with self._lock:
            now = time.monotonic()
            if now - self._last_report < seconds:
                return False
            self._last_report = now
            return True

    def __enter__(self) -> _Task:
        return self

    def __exit__(self, *exc: object) -> None:
        self._presenter.task_ended(self, exc[0] is None)


def _format_summary(summary: Summary, stream: TextIO) -> str:
    from pumice.cli.display.summaries import format_summary

    return format_summary(summary, width=terminal_width(stream), color=has_color(stream))


def _format_note(message: str, stream: TextIO) -> str:
    """Return a note; the prefix of a finding is colored like that of a warning."""
    text = message.removeprefix(NOTE_PREFIX)
    if text == message:
        return printable(message)
    return f"{_colorize(NOTE_PREFIX.rstrip(), '36', stream)} {printable(text)}"


def _colorize(text: str, code: str, stream: TextIO) -> str:
    return f"\x1b[1;{code}m{text}\x1b[0m" if has_color(stream) else text
