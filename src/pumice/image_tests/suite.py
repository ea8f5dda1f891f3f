"""Runs the tests of an image, one after the other, each in a container of its own."""

from __future__ import annotations

import os
import time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pumice.image_tests import files, programs
from pumice.image_tests.outcome import Outcome, shorten
from pumice.trust import admission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pumice.image.model import Image
    from pumice.image_tests.outcome import Failure
    from pumice.image_tests.programs import RunSettings
    from pumice.progress import Progress
    from pumice.recipe.image_tests import ImageTest
    from pumice.store.home import Home
    from pumice.trust.admission import AdmissionRequest
    from pumice.trust.unsigned_images import UnsignedImage


def select_tests(tests: Iterable[ImageTest], patterns: Sequence[str]) -> tuple[ImageTest, ...]:
    """Return the tests whose name contains one of ``patterns``, in which ``*`` matches anything."""
    if not patterns:
        return tuple(tests)
    lowered = [f"*{pattern.lower()}*" for pattern in patterns]
    return tuple(
        test for test in tests if any(fnmatchcase(test.title().lower(), pattern) for pattern in lowered)
    )


def admit_image(
    tests: Iterable[ImageTest],
    image: Image,
    home: Home,
    request: AdmissionRequest,
    progress: Progress,
    *,
    insecure: bool = False,
    confirm: Callable[[UnsignedImage], bool] | None = None,
) -> None:
    """Raise TrustError if the tests run programs of an image that may not be run.

    ``image`` has all its platforms; ``confirm`` asks about an unsigned image.
    """
    if any(test.runs_program for test in tests):
        admission.admit(
            *(image, "run", home, request),
            environ=os.environ,
            progress=progress,
            insecure=insecure,
            confirm=confirm,
        )


def run_tests(
    tests: Iterable[ImageTest], image: Image, home: Home, settings: RunSettings, progress: Progress
) -> Iterator[Outcome]:
    """Yield the outcome of each test; ``image`` is the image of one platform, and was admitted."""
    image_files: files.ImageFiles | None = None
    for test in tests:
        start = time.monotonic()
        failures: list[Failure] = []
        stdout = stderr = ""
        if test.file or test.image:
            image_files = image_files or files.ImageFiles(image, home, progress)
            for check in test.file:
                failures += files.check_file(check, image_files)
            if test.image:
                failures += files.check_config(test.image, image.config().config, image_files)
        if test.runs_program:
            result = programs.run_program(test, image, home, settings)
            failures += result.failures
            stdout, stderr = result.stdout, result.stderr
        yield Outcome(
            test=test.title(),
            where=test.where,
            failures=tuple(failures),
            seconds=round(time.monotonic() - start, 3),
            stdout=shorten(stdout) if failures else "",
            stderr=shorten(stderr) if failures else "",
        )
