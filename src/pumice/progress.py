"""What long work tells a person or a program while it goes on; presenters live in `cli`."""

from __future__ import annotations

from typing import Protocol


class Task(Protocol):
    """One piece of work under way; used as a context manager, which ends it."""

    def advance(self, amount: int) -> None:
        """Say that ``amount`` more units (bytes, packages) are done."""

    def __enter__(self) -> Task: ...
    def __exit__(self, *exc: object) -> None: ...


class Progress(Protocol):
    """Where progress goes. Safe to call from any thread."""

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        """Begin a piece of work of ``total`` units (None: unknown)."""

    def note(self, message: str) -> None:
        """Say something worth knowing."""

    def warn(self, message: str) -> None:
        """Say something that a person should look at."""


class _SilentTask:
    def advance(self, amount: int) -> None:
        pass

    def __enter__(self) -> _SilentTask:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Silent:
    """Says nothing."""

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:  # noqa: ARG002
        """Begin nothing."""
        return _SilentTask()

    def note(self, message: str) -> None:
        """Say nothing."""

    def warn(self, message: str) -> None:
        """Say nothing."""
