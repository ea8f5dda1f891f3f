"""Build images of slices, and of the same packages whole, and write their sizes: a table for the docs.

    python -m bench sliced [--docs]

The recipes are those with which the slices for Debian are tested. The tests of a recipe pass in the image of
slices; those of the other image are not run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from bench.sizes import HERE, published, replace_table
from tests.support import sliced_recipes

RESULTS = HERE / "results" / "sliced.json"
NAMES = ("static", "hello-python", "nginx", "java")
"""The recipes that are measured."""
_PUBLISHED = {"static": "static", "hello-python": "python3", "nginx": "nginx"}
"""The names of the recipes among the published figures."""


def main(words: Sequence[str]) -> None:
    """Build, test and measure the images, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench sliced", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="update the table in the documentation")
    arguments = parser.parse_args(words)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(sliced_recipes.RECIPES, folder, dirs_exist_ok=True)
        for name in NAMES:
            for suite in sliced_recipes.SUITES:
                rows.append({"recipe": name, "suite": suite, **measure(name, suite, Path(folder))})
                print(json.dumps(rows[-1]), flush=True)
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.docs:
        replace_table("sliced", table(rows, published()))


def measure(name: str, suite: str, folder: Path) -> dict[str, int]:
    """Return the compressed sizes in bytes of the image of slices, and of the one of whole packages.

    Raises CalledProcessError if a build or a test fails.
    """
    text = sliced_recipes.recipe_text(name, suite)
    recipe = yaml.safe_load(text)
    recipe["packages"] = list(dict.fromkeys(item.partition("_")[0] for item in recipe["packages"]))
    recipe["keep"] = "all"
    sizes = {}
    for kind, content in (("slices", text), ("whole", yaml.safe_dump(recipe))):
        path = folder / f"{name}-{suite}-{kind}.yaml"
        path.write_text(content)
        if kind == "slices":
            _pumice("test", "--timeout", "300", str(path))
        report = folder / "report.json"
        _pumice("build", str(path), "--platform", "linux/amd64", "--report", str(report))
        (platform,) = json.loads(report.read_bytes())["platforms"].values()
        sizes[kind] = platform["size"]
    return sizes


def _pumice(*arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pumice", *arguments],
        check=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "src")},
        stdout=subprocess.DEVNULL,
    )


def table(rows: Sequence[Mapping[str, object]], figures: Sequence[Mapping[str, str]]) -> str:
    """Return the sizes as a Markdown table, in MB (1,000,000 bytes)."""
    lines = ["| image | suite | slices | whole packages | published images: MB (date) |"]
    lines.append("|---|---|--:|--:|---|")
    for row in rows:
        sizes = " | ".join(f"{int(str(row[key])) / 1_000_000:.1f}" for key in ("slices", "whole"))
        others = ", ".join(
            f"`{figure['image']}` {figure['megabytes']} ({figure['date']})"
            for figure in figures
            if figure["recipe"] == _PUBLISHED.get(str(row["recipe"])) and row["suite"] == "bookworm"
        )
        lines.append(f"| {row['recipe']} | {row['suite']} | {sizes} | {others} |")
    return "\n".join(lines)
