"""Build images of ``bench/sizes`` in three ways and write their compressed sizes: a table for the docs.

    python -m bench slim [--only WORD] [--docs]

Each image is built with all its packages (``keep: all``), as its recipe says, and by the recipe that ``pumice
slim --trace-tests`` writes. The tests of the recipe pass in each of them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.sizes import HERE, RECIPES, published, replace_table

RESULTS = HERE / "results" / "slim.json"
NAMES = ("static", "nginx", "redis", "haproxy", "memcached", "python3")
"""The recipes that are measured."""


def main(words: Sequence[str]) -> None:
    """Build, test and measure the images, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench slim", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORD", help="only recipes whose name contains WORD")
    parser.add_argument("--docs", action="store_true", help="update the table in the documentation")
    arguments = parser.parse_args(words)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in (name for name in NAMES if arguments.only in name):
            rows.append({"recipe": name, **measure(name, Path(folder))})
            print(json.dumps(rows[-1]), flush=True)
    if arguments.only:
        return  # results of a part are not stored
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.docs:
        replace_table("slim", table(rows, published()))


def measure(name: str, folder: Path) -> dict[str, int]:
    """Return the compressed sizes in bytes; raises CalledProcessError if a build or a test fails."""
    recipe = folder / f"{name}.yaml"
    recipe.write_bytes((RECIPES / f"{name}.yaml").read_bytes())
    whole = folder / f"{name}-whole.yaml"
    whole.write_text(f"extend: {name}.yaml\nkeep: all\n")
    report = folder / "report.json"
    _pumice("build", str(whole), "--platform", "linux/amd64", "--report", str(report))
    _pumice("test", "--timeout", "300", str(whole))
    (platform,) = json.loads(report.read_bytes())["platforms"].values()
    output = str(folder / f"{name}-slim.yaml")
    slim = json.loads(_pumice("slim", str(recipe), "--trace-tests", "--json", "--output", output))
    return {"whole": platform["size"], "lean": slim["compressed"], "slim": slim["slim_compressed"]}


def _pumice(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "pumice", *arguments],
        check=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "src")},
        capture_output=True,
        text=True,
    ).stdout


def table(rows: Sequence[Mapping[str, object]], figures: Sequence[Mapping[str, str]]) -> str:
    """Return the sizes as a Markdown table, in MB (1,000,000 bytes)."""
    lines = ["| image | all packages | lean (default) | slim | published images: MB (date) |"]
    lines.append("|---|--:|--:|--:|---|")
    for row in rows:
        sizes = " | ".join(f"{int(str(row[key])) / 1_000_000:.1f}" for key in ("whole", "lean", "slim"))
        others = ", ".join(
            f"`{figure['image']}` {figure['megabytes']} ({figure['date']})"
            for figure in figures
            if figure["recipe"] == row["recipe"]
        )
        lines.append(f"| {row['recipe']} | {sizes} | {others} |")
    return "\n".join(lines)
