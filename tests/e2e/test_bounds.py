"""The memory of a build does not grow with the image; each build runs in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import real
from tests.support.rock import Rock
from tests.support.world import PACKAGES, World

MOST = 200 << 20
"""Bytes: what the documentation promises."""
GROWTH = 16 << 20
"""Bytes by which a four times bigger image may differ: noise of threads and allocators."""
LARGE = (
    *("python3", "ca-certificates", "nodejs", "git", "nginx"),
    *("postgresql-client", "openjdk-17-jre-headless"),
)

CORES = 64
"""As many as a build believes to have: threads take memory, and other machines have more of them."""

# ru_maxrss of a child starts with the value of its parent, so the process reads its own VmHWM (proc(5)).
PROBE = """
import json, os, re, sys
from pathlib import Path
os.cpu_count = lambda: int(sys.argv[2])
from pumice.cli.main import main
code = main(sys.argv[3:])
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
Path(sys.argv[1]).write_text(json.dumps([code, peak]))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Usage(NamedTuple):
    """The exit code of a command, its peak memory in bytes, and its output."""

    code: int
    peak: int
    output: str


def measure(folder: Path, home: Path, *arguments: str) -> Usage:
    """Run ``pumice`` and measure its memory."""
    notes = folder / "usage.json"
    process = subprocess.run(
        [sys.executable, "-c", PROBE, str(notes), str(CORES), *arguments],
        cwd=folder,
        env={**os.environ, "PUMICE_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=real.PATIENCE_SECONDS,
    )
    code, peak = json.loads(notes.read_bytes())
    return Usage(code, peak, process.stdout)


def build_rock(folder: Path, weight: int, *arguments: str) -> Usage:
    world = World(folder, [*PACKAGES, Rock("rock", weight=weight)])
    world.write(packages="[rock, hello]")
    return measure(world.project, folder / "store", "build", "recipe.yaml", *arguments)


def test_a_bigger_file_takes_no_more_memory(tmp_path: Path) -> None:
    small = build_rock(tmp_path / "small", 150_000_000)
    big = build_rock(tmp_path / "big", 600_000_000)
    assert (small.code, big.code) == (0, 0), small.output + big.output
    assert big.peak < MOST
    assert big.peak < small.peak + GROWTH


@pytest.mark.parametrize("kind", ["oci-archive", "tar", "dir"])
def test_delivering_a_bigger_file_takes_no_more_memory(kind: str, tmp_path: Path) -> None:
    small = build_rock(tmp_path / "small", 50_000_000, "-o", f"{kind}:out")
    big = build_rock(tmp_path / "big", 200_000_000, "-o", f"{kind}:out")
    assert (small.code, big.code) == (0, 0), small.output + big.output
    assert big.peak < small.peak + GROWTH


@pytest.mark.mirror
def test_the_large_set_is_built_cold_in_bounded_memory(tmp_path: Path) -> None:
    recipe = real.recipe(tmp_path / "project", LARGE)
    usage = measure(tmp_path, tmp_path / "store", "build", str(recipe))
    assert usage.code == 0, usage.output
    assert usage.peak < MOST
