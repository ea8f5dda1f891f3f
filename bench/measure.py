"""Measure processes in the order A B A B …, so that changes in machine speed affect all."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """One finished process: wall time and CPU time in seconds, peak memory in MB."""

    wall: float
    processor: float
    memory: float


@dataclass
class Contender:
    """A command to time; ``prepare`` is called before each run and is not timed."""

    name: str
    command: Callable[[int], Sequence[str]]
    prepare: Callable[[int], object] = lambda _: None
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None
    runs: list[Run] = field(default_factory=list)

    def once(self, number: int) -> None:
        """Run the command and record the measurement; raises RuntimeError with its output if it fails."""
        self.prepare(number)
        log = Path(os.environ.get("TMPDIR", "/tmp"), f"bench-{os.getpid()}.log")
        with log.open("w+b") as output:
            start = time.perf_counter()
            process = subprocess.Popen(
                list(self.command(number)),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
                cwd=self.folder,
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        text = log.read_text(errors="replace")
        log.unlink()
        if process.returncode:
            raise RuntimeError(f"{self.name} failed with {process.returncode}:\n{text[-2000:]}")
        self.runs.append(Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024))

    @property
    def wall(self) -> float:
        """The median wall time in seconds."""
        return statistics.median(run.wall for run in self.runs)

    @property
    def memory(self) -> float:
        """The highest peak memory of all runs in MB."""
        return max(run.memory for run in self.runs)


def interleave(contenders: Sequence[Contender], runs: int) -> None:
    """Run all contenders in turn, ``runs`` times each."""
    for number in range(runs):
        for contender in contenders:
            contender.once(number)


def ratio(ours: Contender, other: Contender) -> float:
    """Return the median of the wall time ratios of adjacent runs."""
    pairs = zip(ours.runs, other.runs, strict=True)
    return statistics.median(our.wall / their.wall for our, their in pairs)
