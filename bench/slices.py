"""Compare the checking of a large release of slices with chisel.

    python -m bench slices [--runs N] [--docs]

The release is generated with the counts of the release for Ubuntu 26.04 in July 2026: 682 packages,
2,264 slices, 7,870 paths, 3,210 of them patterns, 579 with ``**``. Its names have no meaning.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "slices.json"
PAGE = HERE.parent / "docs" / "how-to" / "come-from-chisel.md"
KEYS = HERE.parent / "tests" / "support" / "keys"
PACKAGES, SLICES, PATHS, PATTERNS, DEEP_PATTERNS = 682, 2264, 7870, 3210, 579
_DIRECTORIES = ("usr/lib/x86_64-linux-gnu", "usr/bin", "usr/share", "etc", "usr/lib", "usr/include")


def generate_release(folder: Path, seed: int = 26_04) -> Path:
    """Write a release with the counts above, without conflicts; equal seeds give equal bytes."""
    chance = random.Random(seed)
    _write_release_file(folder)
    slice_counts = _spread(SLICES, PACKAGES, chance)
    path_counts = iter(_spread(PATHS, SLICES, chance))
    kinds = ["deep"] * DEEP_PATTERNS + ["glob"] * (PATTERNS - DEEP_PATTERNS)
    kinds += ["copy"] * (PATHS - PATTERNS)
    chance.shuffle(kinds)
    (folder / "slices").mkdir()
    for number, slice_count in enumerate(slice_counts):
        name = f"pkg{number:03}"
        lines = [f"package: {name}", "slices:"]
        for position in range(slice_count):
            lines.append(f"  part{position:02}:")
            if position:
                lines.append(f"    essential:\n      {name}_part{position - 1:02}:")
            elif number:
                lines.append(f"    essential:\n      pkg{chance.randrange(number):03}_part00:")
            lines.append("    contents:")
            lines += [
                f"      {_path(kinds.pop(), name, f'{position}-{item}', chance)}:"
                for item in range(next(path_counts))
            ]
        (folder / "slices" / f"{name}.yaml").write_text("\n".join(lines) + "\n")
    return folder


def _write_release_file(folder: Path) -> None:
    from pumice.formats.openpgp import read_keyring

    armor = (KEYS / "rsa.asc").read_text().strip()
    key_id = read_keyring(armor.encode()).certificates[0].fingerprint[-16:].upper()
    indented = "".join(f"      {line}\n" for line in armor.splitlines())
    folder.mkdir(parents=True)
    (folder / "chisel.yaml").write_text(
        "format: v3\nmaintenance: {standard: 2026-04-23, end-of-life: 2036-04-23}\n"
        "archives:\n  ubuntu: {version: '26.04', components: [main], suites: [s], public-keys: [k],"
        f" priority: 10}}\npublic-keys:\n  k:\n    id: {key_id}\n    armor: |\n{indented}"
    )


def _spread(total: int, count: int, chance: random.Random) -> list[int]:
    """Return ``count`` numbers of at least 1 whose sum is ``total``."""
    numbers = [1] * count
    for _ in range(total - count):
        numbers[chance.randrange(count)] += 1
    return numbers


def _path(kind: str, package: str, item: str, chance: random.Random) -> str:
    directory = chance.choice(_DIRECTORIES)
    if kind == "deep":
        return f"/{directory}/{package}/{item}/**"
    if kind == "glob":
        suffix = chance.choice((".so.*", "*.so", "-*", "-?.conf"))
        directory = directory.replace("x86_64-linux-gnu", "*-linux-*")
        return f"/{directory}/lib{package}-{item}{suffix}"
    return f"/{directory}/{package}-{item}"


def main(words: Sequence[str]) -> None:
    """Measure, print and store the times."""
    parser = argparse.ArgumentParser(prog="python -m bench slices", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default 5)")
    parser.add_argument("--docs", action="store_true", help="update the table in the documentation")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure(Path(folder), arguments.runs))
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    if arguments.docs:
        block = f"<!-- slices -->\n{table(rows)}\n<!-- /slices -->"
        text = PAGE.read_text()
        PAGE.write_text(re.sub(r"<!-- slices -->.*<!-- /slices -->", lambda _: block, text, flags=re.DOTALL))


def measure(folder: Path, runs: int) -> Iterator[dict[str, Any]]:
    """Yield the least times of each command in seconds; chisel is left out if it is not installed."""
    release = generate_release(folder / "release")
    pumice = [sys.executable, "-m", "pumice", "slice", "find", "pkg100", "--release", f"{release}/"]
    store = folder / "store"
    environment = {**os.environ, "PUMICE_HOME": str(store), "PYTHONPATH": str(HERE.parent / "src")}

    def forget() -> None:
        shutil.rmtree(store, ignore_errors=True)

    yield {"command": "`pumice slice find`, the first time", **_least(pumice, environment, runs, forget)}
    yield {"command": "`pumice slice find`, again", **_least(pumice, environment, runs)}
    version = [sys.executable, "-m", "pumice", "version"]
    yield {"command": "`pumice version`, for comparison", **_least(version, environment, runs)}
    if chisel := shutil.which("chisel"):
        command = [chisel, "find", "--release", f"{release}/", "pkg100"]
        yield {"command": "`chisel find` (1.4.1), every time", **_least(command, environment, runs)}


def _least(
    command: Sequence[str],
    environment: dict[str, str],
    runs: int,
    prepare: Callable[[], None] | None = None,
) -> dict[str, float]:
    """Return the least elapsed and processor times of several runs, which other programs disturb least."""
    elapsed, processor = [], []
    for _ in range(runs):
        if prepare is not None:
            prepare()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.monotonic()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        elapsed.append(time.monotonic() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"seconds": round(min(elapsed), 2), "processor_seconds": round(min(processor), 2)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table of Markdown."""
    lines = [f"| {row['command']} | {row['seconds']:.2f} | {row['processor_seconds']:.2f} |" for row in rows]
    return "\n".join(["| command | seconds | processor seconds |", "|---|--:|--:|", *lines])
