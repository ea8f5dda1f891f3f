"""`make soak`: tests that are too slow for every change, or that need another date or a busy machine.

    sampled      the tests that use a sample in CI, on everything: packages compared with apt, network cuts, …
    concurrency  the tests of concurrency, 200 times, while other processes use the CPU and the disk
    clock        the whole suite one and three years from now, under libfaketime
    registry     10,000 operations on a registry, with a new seed

Without a name, all steps run. Each step prints the command that repeats it.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
REPETITIONS = 200
YEARS = (1, 3)
JOBS = os.environ.get("JOBS", "2")
FAKETIME = ("faketime/libfaketimeMT.so.1", "libfaketimeMT.so.1")

BURN_CPU = "while True: sum(range(1 << 16))"
BURN_DISK = """
import os, sys
while True:
    with open(sys.argv[1], "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
            os.fsync(file.fileno())
"""


def main() -> int:
    """Run the requested steps; return 1 if a step failed."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__.partition("\n")[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"one of {', '.join(STEPS)} (default: all)")
    parser.add_argument("--tests", nargs="+", default=["tests"], metavar="PATH", help="only these tests")
    arguments = parser.parse_args()
    if unknown := set(arguments.steps) - set(STEPS):
        parser.error(f"unknown step: {', '.join(sorted(unknown))}")
    failed = [name for name in arguments.steps or STEPS if not STEPS[name](arguments.tests)]
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


def run_sampled(tests: Sequence[str]) -> bool:
    """Run the tests that normally use a sample, without sampling."""
    return run_pytest(["-m", "sampled", *tests], {"PUMICE_SOAK": "1"})


def run_concurrency(tests: Sequence[str]) -> bool:
    """Repeat the tests of concurrency under load."""
    count = os.environ.get("PUMICE_REPEAT", str(REPETITIONS))
    with load():
        return run_pytest(["-m", "concurrency", *tests], {"PUMICE_REPEAT": count})


def run_clock(tests: Sequence[str]) -> bool:
    """Run the suite at future dates.

    Tests that drive programs in Go skip (`tests.support.peers`), and so do those of a mirror with a
    certificate, which is for today.
    """
    library = find_faketime()
    if library is None:
        print("libfaketime is not installed (on Debian: apt-get install libfaketime)", file=sys.stderr)
        return False
    passes = []
    for years in YEARS:
        environment = {
            "PUMICE_ANOTHER_DAY": "1",
            "LD_PRELOAD": library,
            "FAKETIME": f"+{years * 365}d",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "PYTHONPATH": str(ROOT / "tests" / "support" / "another_day"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        passes.append(run_pytest(["-p", "no:cacheprovider", *tests], environment))
    return all(passes)


def run_registry(_tests: Sequence[str]) -> bool:
    """Run the soak test of the registry with a new seed."""
    return run([sys.executable, "-m", "bench.soak", "10000", str(secrets.randbelow(1 << 32))], {})


STEPS: Mapping[str, Callable[[Sequence[str]], bool]] = {
    "sampled": run_sampled,
    "concurrency": run_concurrency,
    "clock": run_clock,
    "registry": run_registry,
}


def run_pytest(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Run pytest with some more environment; return whether it succeeded."""
    command = [sys.executable, "-m", "pytest", "-q", "-n", JOBS, "--durations", "10", *arguments]
    return run(command, environment)


def run(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Show a command, run it, and return whether it succeeded."""
    command_text = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
    print("+", *command_text, shlex.join(command), flush=True)
    process = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    return process.returncode == 0


def find_faketime() -> str | None:
    """Return libfaketime's library for programs with threads, None if it is not installed."""
    folders = [Path("/usr/lib"), *sorted(Path("/usr/lib").glob("*-linux-*")), Path("/usr/local/lib")]
    candidates = (folder / name for folder in folders for name in FAKETIME)
    return next((str(path) for path in candidates if path.is_file()), None)


@contextmanager
def load() -> Iterator[None]:
    """Keep every processor and a disk busy until the context ends."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pumice-soak-"))
        programs = [[BURN_CPU] for _ in range(os.cpu_count() or 1)]
        programs += [[BURN_DISK, str(Path(folder, str(number)))] for number in range(2)]
        for program in programs:
            process = subprocess.Popen([sys.executable, "-c", *program])
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


if __name__ == "__main__":
    sys.exit(main())
