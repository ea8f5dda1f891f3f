"""Runs programs of an image in the sandbox while strace(1) watches which files they use.

ptrace(2) needs no privileges for a process that this user starts, sees every call that names a path, and
is on every machine with Linux. fanotify(7) would need CAP_SYS_ADMIN for a mount, and sees opened files
only, not those that a program looks for with stat(2) or executes by a link.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import ImageError, SandboxError
from pumice.image_tests.programs import RunSettings
from pumice.image_tests.suite import run_tests
from pumice.slimming import trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.image.model import Image
    from pumice.image_tests.outcome import Outcome
    from pumice.progress import Progress
    from pumice.recipe.image_tests import ImageTest
    from pumice.store.home import Home

_STRACE = "strace"
_FLUSH_SECONDS = 10.0
_MAX_TRACE = 512 << 20
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
            tracer = (strace, *trace.OPTIONS, "-o", str(output))
            watched = RunSettings(network=settings.network, timeout=settings.timeout, tracer=tracer)
            for outcome in run_tests([test], image, home, watched, progress):
                _check_outcome(outcome)
            paths.update(dict.fromkeys(trace.read_trace(_read_output(output).splitlines())))
            output.unlink()
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


def _read_output(path: Path) -> str:
    """Return a trace when strace has written all of it, which may be after the program has ended."""
    deadline = time.monotonic() + _FLUSH_SECONDS
    while True:
        if path.exists():
            if path.stat().st_size > _MAX_TRACE:
                raise ImageError(f"a traced run made more than {_MAX_TRACE >> 20} MiB of calls")
            text = path.read_text(encoding="utf-8", errors="surrogateescape")
            if trace.has_ended(text):
                return text
        if time.monotonic() > deadline:
            raise SandboxError("strace could not watch the program", hint="is ptrace(2) allowed here?")
        time.sleep(0.02)
