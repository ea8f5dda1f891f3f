"""The ways in which progress is shown. All are safe to call from any thread."""

from __future__ import annotations

import threading
import time

from pumice.cli.output import size
from pumice.cli.streams import has_colour
from pumice.terminal import printable_line as printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO

    import rich.progress

    from pumice.progress import Task

STILL_SECONDS = 10.0
"""A plain log says at most this often that something is still going on."""

JSON_SECONDS = 0.1
"""A program that listens is told about each task at most this often."""

LIVE_DELAY_SECONDS = 0.2
"""What is over sooner is not worth a display, nor the time to import one."""


class Quiet:
    """Only warnings."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        """Begin a piece of work that is not shown."""
        return _Task(self, label, total, unit)

    def note(self, message: str) -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Write one line."""
        self._line(f"{_coloured('warning:', '33', self._stream)} {printable(message)}")

    def began(self, task: _Task) -> None:
        """Hear that ``task`` began."""

    def advanced(self, task: _Task) -> None:
        """Hear that ``task`` went on."""

    def ended(self, task: _Task, ok: bool) -> None:
        """Hear that ``task`` ended."""

    def _line(self, text: str) -> None:
        with self._lock:
            self._stream.write(f"{text}\n")
            self._stream.flush()


class Plain(Quiet):
    """One line where something begins and one from time to time while it lasts: for logs.

    What begins while something else goes on is a part of that, and no line of its own.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown: _Task | None = None

    def note(self, message: str) -> None:
        """Write one line."""
        self._line(printable(message))

    def began(self, task: _Task) -> None:
        """Write what begins."""
        with self._lock:
            if self._shown is not None:
                return
            self._shown = task
        amount = f" ({_amount(task.total, task.unit)})" if task.total else ""
        self._line(f"{printable(task.label)}{amount}")

    def advanced(self, task: _Task) -> None:
        """Write how far it is, now and then."""
        if task is self._shown and task.due(STILL_SECONDS):
            of = f" of {_amount(task.total, task.unit)}" if task.total else ""
            self._line(f"{printable(task.label)}: {_amount(task.done, task.unit)}{of}")

    def ended(self, task: _Task, ok: bool) -> None:  # noqa: ARG002 - not shown here
        """Make room for the next."""
        with self._lock:
            if task is self._shown:
                self._shown = None


class JsonLines(Quiet):
    """One JSON object a line, as `docs/reference/environment.md` describes."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._count = 0

    def note(self, message: str) -> None:
        """Write an event ``note``."""
        self._event(event="note", message=message)

    def warn(self, message: str) -> None:
        """Write an event ``warning``."""
        self._event(event="warning", message=message)

    def began(self, task: _Task) -> None:
        """Write an event ``begin``, which gives the task its number."""
        with self._lock:
            self._count += 1
            task.number = self._count
        self._event(event="begin", task=task.number, label=task.label, total=task.total, unit=task.unit)

    def advanced(self, task: _Task) -> None:
        """Write an event ``advance``, now and then."""
        if task.due(JSON_SECONDS):
            self._event(event="advance", task=task.number, done=task.done)

    def ended(self, task: _Task, ok: bool) -> None:
        """Write an event ``end``."""
        self._event(event="end", task=task.number, done=task.done, ok=ok)

    def _event(self, **fields: object) -> None:
        import json

        self._line(json.dumps(fields, separators=(",", ":")))


class Live(Quiet):
    """Moving bars on a terminal, which appear only when there is something to wait for."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._state = threading.RLock()
        self._running: list[_Task] = []
        self._display: rich.progress.Progress | None = None
        self._timer: threading.Timer | None = None
        self.appeared = threading.Event()

    def note(self, message: str) -> None:
        """Write one line above the bars."""
        self._above(printable(message))

    def warn(self, message: str) -> None:
        """Write one line above the bars."""
        self._above(f"{_coloured('warning:', '33', self._stream)} {printable(message)}")

    def began(self, task: _Task) -> None:
        """Add a bar, or begin to wait for the moment when bars are worth showing."""
        with self._state:
            self._running.append(task)
            if self._display is not None:
                self._add(self._display, task)
            elif self._timer is None:
                self._timer = threading.Timer(LIVE_DELAY_SECONDS, self._appear)
                self._timer.daemon = True
                self._timer.start()

    def advanced(self, task: _Task) -> None:
        """Move the bar."""
        display = self._display
        if display is not None and task.number:
            display.update(rich_id(task), completed=task.done)

    def ended(self, task: _Task, ok: bool) -> None:  # noqa: ARG002 - not shown here
        """Take the bar away; the last one takes the display with it."""
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

    def _appear(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        with self._state:
            if not self._running:
                return
            self._display = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.fields[amount]}", markup=False),
                console=Console(file=self._stream, no_color=not has_colour(self._stream)),
                transient=True,
            )
            for task in self._running:
                self._add(self._display, task)
            self._display.start()
            self.appeared.set()

    def _add(self, display: rich.progress.Progress, task: _Task) -> None:
        amount = _amount(task.total, task.unit) if task.total else ""
        # Numbers start at 1 so that 0 can mean: not shown.
        shown = display.add_task(printable(task.label), total=task.total, completed=task.done, amount=amount)
        task.number = int(shown) + 1

    def _above(self, text: str) -> None:
        with self._state:
            if self._display is None:
                self._line(text)
            else:
                self._display.console.print(text, markup=False, highlight=False)


def rich_id(task: _Task) -> Any:
    """Return the number by which rich knows ``task``."""
    return task.number - 1


class _Task:
    """A piece of work under way, telling its presenter about itself."""

    def __init__(self, presenter: Quiet, label: str, total: int | None, unit: str) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.done = 0
        self.number = 0
        self._presenter = presenter
        self._lock = threading.Lock()
        self._said = time.monotonic()
        presenter.began(self)

    def advance(self, amount: int) -> None:
        """Say that ``amount`` more units are done."""
        with self._lock:
            self.done += amount
        self._presenter.advanced(self)

    def due(self, seconds: float) -> bool:
        """Say whether ``seconds`` have passed since this was last true."""
        with self._lock:
            now = time.monotonic()
            if now - self._said < seconds:
                return False
            self._said = now
            return True

    def __enter__(self) -> _Task:
        return self

    def __exit__(self, *exc: object) -> None:
        self._presenter.ended(self, exc[0] is None)


def _amount(number: int | None, unit: str) -> str:
    if number is None:
        return ""
    return size(number) if unit == "bytes" else f"{number} {unit}"


def _coloured(word: str, code: str, stream: TextIO) -> str:
    return f"\x1b[1;{code}m{word}\x1b[0m" if has_colour(stream) else word
