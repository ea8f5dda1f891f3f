"""A progress display that records messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.progress import Silent

if TYPE_CHECKING:
    from pumice.progress import Task


class RecordingProgress(Silent):
    """Records notes, warnings and the labels of tasks."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.tasks: list[tuple[str, int | None]] = []

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        self.tasks.append((label, total))
        return super().task(label, total, unit=unit)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
