"""Runs the tests of an image, each in a container of its own, several at a time."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pumice.image_tests import files, programs
from pumice.image_tests.outcome import Outcome, shorten
from pumice.runtime import prepared_tree
from pumice.runtime.background import RunningContainers
from pumice.trust import admission

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from pumice.image.model import Image
    from pumice.image_tests.outcome import Failure
    from pumice.image_tests.programs import ProgramRun, RunSettings
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
    tests: Sequence[ImageTest], image: Image, home: Home, settings: RunSettings, progress: Progress
) -> Iterator[Outcome]:
    """Yield the outcome of each test, in order; ``image`` is that of one platform, and was admitted.

    Programs run in parallel, unless they need the same ports.
    """
    runner = _ProgramRunner(image, home, settings)
    with ExitStack() as stack:
        if any(test.runs_program for test in tests):
            stack.enter_context(prepared_tree.hold(image, home, progress))  # unpacked once, before threads
        stack.callback(runner.stop)
        runner.start(tests)
        image_files: files.ImageFiles | None = None
        for number, test in enumerate(tests):
            start = time.monotonic()
            failures: list[Failure] = []
            if test.file or test.image:
                image_files = image_files or files.ImageFiles(image, home, progress)
                for check in test.file:
                    failures += files.check_file(check, image_files)
                if test.image:
                    failures += files.check_config(test.image, image.config().config, image_files)
            seconds = time.monotonic() - start
            stdout = stderr = ""
            if test.runs_program:
                program_run = runner.run(number, test)
                result = programs.judge_program(test, program_run)
                failures += result.failures
                stdout, stderr = result.stdout, result.stderr
                seconds += program_run.seconds
            yield Outcome(
                test=test.title(),
                where=test.where,
                failures=tuple(failures),
                seconds=round(seconds, 3),
                stdout=shorten(stdout) if failures else "",
                stderr=shorten(stderr) if failures else "",
            )


class _ProgramRunner:
    """Runs the programs of tests, several at a time in threads."""

    def __init__(self, image: Image, home: Home, settings: RunSettings) -> None:
        self._image = image
        self._home = home
        self._settings = settings
        self._running = RunningContainers()
        self._executor = ThreadPoolExecutor(settings.jobs, thread_name_prefix="test")
        self._runs: dict[int, Future[ProgramRun]] = {}

    def start(self, tests: Sequence[ImageTest]) -> None:
        """Start the programs that may run in parallel; the others run when they are asked for."""
        for number, test in enumerate(tests):
            if self._settings.jobs > 1 and programs.can_run_beside_others(test, self._settings):
                self._runs[number] = self._executor.submit(self._run, test)

    def run(self, number: int, test: ImageTest) -> ProgramRun:
        """Return the run of a test, when it has ended."""
        program_run = self._runs.pop(number, None)
        return program_run.result() if program_run else self._run(test)

    def _run(self, test: ImageTest) -> ProgramRun:
        return programs.run_program(test, self._image, self._home, self._settings, self._running)

    def stop(self) -> None:
        """Kill what still runs, and wait for the threads."""
        self._running.kill_all()
        self._executor.shutdown(cancel_futures=True)
