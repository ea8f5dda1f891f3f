"""One command on several recipes: a failure does not stop the others."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display.summaries import Summary, format_seconds
from pumice.errors import ImageError, PumiceError, RecipeError
from pumice.terminal import format_count, printable_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pumice.cli.display.presenters import Quiet
    from pumice.progress import Progress, Task


class FailedRecipe(msgspec.Struct, frozen=True):
    """A recipe that failed, and the exit code of a command that works on nothing else."""

    path: Path
    exit_code: int


class Failures:
    """The recipes that failed so far."""

    def __init__(self, progress: Quiet) -> None:
        self._progress = progress
        self._failed: dict[Path, FailedRecipe] = {}

    @contextmanager
    def catch(self, path: Path) -> Iterator[None]:
        """Report an error of the recipe at ``path`` instead of raising it."""
        try:
            yield
        except PumiceError as error:
            self._add(path, error)
        except OSError as error:  # expected ones are translated where they occur; others are not bugs either
            place = f"{error.filename}: " if error.filename else ""
            self._add(path, ImageError(f"{place}{(error.strerror or str(error)).lower()}"))

    def __contains__(self, path: object) -> bool:
        return path in self._failed

    def __len__(self) -> int:
        return len(self._failed)

    def exit_code(self, paths: list[Path]) -> int:
        """Return the exit code of the first of ``paths`` that failed, 0 if none did."""
        return next((self._failed[path].exit_code for path in paths if path in self._failed), 0)

    def _add(self, path: Path, error: PumiceError) -> None:
        self._failed[path] = FailedRecipe(path, error.exit_code)
        self._progress.fail_item(str(path), _add_place(error, path))


def _add_place(error: PumiceError, path: Path) -> PumiceError:
    """Return the error with the recipe as its place, if it names another one or none."""
    if isinstance(error, RecipeError) or _names_recipe(error.where or "", path):
        return error
    located = copy.copy(error)  # another recipe may report the same error
    located.where = f"{path}: {error.where}" if error.where else str(path)
    return located


def _names_recipe(text: str, path: Path) -> bool:
    """Return whether a text names a recipe or its lock."""
    return str(path.with_suffix("")) in text


class RecipeProgress:
    """The progress of one of several recipes: its notes and warnings begin with its path."""

    def __init__(self, progress: Progress, path: Path) -> None:
        self._progress = progress
        self._path = path

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        """Begin an operation."""
        return self._progress.task(f"{printable_line(str(self._path))}: {label}", total, unit=unit)

    def note(self, message: str) -> None:
        """Report something worth knowing about the recipe."""
        self._progress.note(self._locate(message))

    def warn(self, message: str) -> None:
        """Report something about the recipe that a person should look at."""
        self._progress.warn(self._locate(message))

    def _locate(self, message: str) -> str:
        return message if _names_recipe(message, self._path) else f"{self._path}: {message}"


def summarize_list(
    done: str, noun: str, paths: Sequence[Path], failed: Sequence[Path], table: str, seconds: float
) -> Summary:
    """Return the summary of a command that did something (``done``) with each recipe that has not failed."""
    succeeded = len(paths) - len(failed)
    total = f"{succeeded} of " * bool(failed) + format_count(len(paths), noun)
    failures = f"; {len(failed)} failed" * bool(failed)
    return Summary(
        event="finished",
        headline=f"{done} {total} in {format_seconds(seconds)}{failures}",
        details=tuple(f"  {line}" for line in table.splitlines()),
        data={done: succeeded, "failed": [str(path) for path in failed], "seconds": round(seconds, 3)},
    )
