"""Runs programs of an image in the sandbox while strace(1) watches which files they use.

ptrace(2) needs no privileges for a process that this user starts, sees every call that names a path, and
is on every machine with Linux. fanotify(7) would need CAP_SYS_ADMIN for a mount, and sees opened files
only, not those that a program looks for with stat(2) or executes by a link.
"""

from __future__ import annotations

import math
import os
import select
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import ImageError, SandboxError
from pumice.image_tests.programs import RunSettings
from pumice.image_tests.suite import run_tests
from pumice.slimming import trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.image.model import Image
    from pumice.image_tests.outcome import Outcome
    from pumice.progress import Progress
    from pumice.recipe.image_tests import ImageTest
    from pumice.store.home import Home

_STRACE = "strace"
_FLUSH_SECONDS = 10.0
_MAX_TRACE = 1 << 30
_STILL_RUNNING = "still running"


def trace_tests(
    tests: Sequence[ImageTest], image: Image, home: Home, settings: RunSettings, progress: Progress
) -> list[str]:
    """Return the absolute paths that the programs of tests use; ``image`` is that of one platform.

    A program without checks of ports may run until the time limit. Raises SandboxError without strace, and
    ImageError for a test that fails.
    """
    strace = shutil.which(_STRACE)
    if strace is None:
        raise SandboxError("cannot trace without strace", hint="install the package strace")
    paths: dict[str, None] = {}
    with tempfile.TemporaryDirectory(prefix="trace-", dir=home.directory("tmp")) as directory:
        for number, test in enumerate(test for test in tests if test.runs_program):
            output = Path(directory) / str(number)
            reader = _TraceReader(output)
            tracer = (strace, *trace.OPTIONS, "-o", str(output))
            watched = RunSettings(network=settings.network, timeout=settings.timeout, tracer=tracer)
            try:
                for outcome in run_tests([test], image, home, watched, progress):
                    _check_outcome(outcome)
            finally:
                used_paths = reader.finish()
            paths.update(dict.fromkeys(used_paths))
    return list(paths)


def _check_outcome(outcome: Outcome) -> None:
    failures = [failure for failure in outcome.failures if failure.actual != _STILL_RUNNING]
    if failures:
        detail = f"{failures[0].subject}: {failures[0].actual}"
        output = (outcome.stderr or outcome.stdout).strip().splitlines()[-3:]
        raise ImageError(
            f"the traced run {outcome.test!r} failed: {detail}" + "".join(f"\n  {line}" for line in output),
            hint="trace a command that works in the image as it is",
        )


class _TraceReader:
    """Reads a trace from a named pipe while it is written: the pipe ends when strace does."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path, 0o600)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_over = threading.Event()
        self._has_started = False
        self._paths: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def finish(self) -> list[str]:
        """Return the paths of the trace when it is complete; raises SandboxError if there was none."""
        self._is_over.set()
        self._thread.join()
        os.close(self._descriptor)
        if not self._has_started:
            raise SandboxError("strace could not watch the program", hint="is ptrace(2) allowed here?")
        return self._paths

    def _read(self) -> None:
        self._paths = trace.read_trace(self._lines())

    def _lines(self) -> Iterator[str]:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        rest, size, deadline = b"", 0, math.inf
        while time.monotonic() < deadline and size < _MAX_TRACE:
            if self._is_over.is_set() and deadline == math.inf:
                deadline = time.monotonic() + _FLUSH_SECONDS
            if not poll.poll(100):  # nothing yet, or strace was not started
                continue
            data = os.read(self._descriptor, 1 << 16)
            if not data:
                break
            self._has_started = True
            size += len(data)
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode("utf-8", "surrogateescape") for line in lines)
