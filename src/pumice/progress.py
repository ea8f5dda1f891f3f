"""The protocols by which long operations report progress; `pumice.cli.display.presenters` displays it."""

from __future__ import annotations

from typing import Protocol


class Task(Protocol):
    """An operation in progress; a context manager, which ends it."""

    def advance(self, amount: int) -> None:
        """Report that ``amount`` more units (bytes, packages) are done."""

    def __enter__(self) -> Task: ...
    def __exit__(self, *exc: object) -> None: ...


class Progress(Protocol):
    """A receiver of progress reports. All methods may be called from any thread."""

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        """Begin an operation of ``total`` units (None: unknown)."""

    def note(self, message: str) -> None:
        """Report something worth knowing."""

    def warn(self, message: str) -> None:
        """Report something that a person should look at."""


class _SilentTask:
    def advance(self, amount: int) -> None:
        pass

    def __enter__(self) -> _SilentTask:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Silent:
    """Progress that is not displayed."""

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:  # noqa: ARG002 - the protocol's names
        """Return a task that reports nothing."""
        return _SilentTask()

    def note(self, message: str) -> None:
        """Report nothing."""

    def warn(self, message: str) -> None:
        """Report nothing."""


class WithoutNotes:
    """Progress of work whose notes say nothing to the user, optionally with one label for all of it."""

    def __init__(self, progress: Progress, label: str = "") -> None:
        self._progress = progress
        self._label = label

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        """Begin a piece of work."""
        return self._progress.task(self._label or label, total, unit=unit)

    def note(self, message: str) -> None:
        """Report nothing."""

    def warn(self, message: str) -> None:
        """Report a warning."""
        self._progress.warn(message)
