"""Build the images of ``bench/sizes`` and write their compressed sizes: a table for the documentation.

    python -m bench sizes [--only WORD] [--docs]

``NAME.yaml`` is a recipe as one would write it first, ``NAME-smaller.yaml`` leaves more out. The tests of
each recipe must pass. The sizes of other images are published figures with their dates.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pumice.recipe.load import load_recipe

HERE = Path(__file__).parent
RECIPES = HERE / "sizes"
RESULTS = HERE / "results" / "sizes.json"
PAGE = HERE.parent / "docs" / "explanation" / "image-sizes.md"
_SMALLER = "-smaller"


def main(words: Sequence[str]) -> None:
    """Build, test and measure the images, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m bench sizes", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="WORD", help="build only recipes whose name contains WORD"
    )
    parser.add_argument("--docs", action="store_true", help="update the table in the documentation")
    arguments = parser.parse_args(words)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(RECIPES.glob("*.yaml")):
            name = path.stem.removesuffix(_SMALLER)
            if arguments.only not in path.stem:
                continue
            rows.append({"recipe": name, "smaller": path.stem != name, **measure(path, Path(folder))})
            print(json.dumps(rows[-1]), flush=True)
    if arguments.only:
        return  # results of a part are not stored
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.docs:
        replace_table("sizes", table(rows, published()))


def measure(recipe: Path, folder: Path) -> dict[str, object]:
    """Return the compressed size in bytes of a recipe's image, its number of packages, and what is left out.

    Raises CalledProcessError if it cannot be built, or if one of its tests fails.
    """
    report = folder / "report.json"
    copy = folder / recipe.name  # locks are not written beside the recipes
    for path in RECIPES.glob("*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
    pumice = [sys.executable, "-m", "pumice"]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    subprocess.run(
        [*pumice, "build", str(copy), "--platform", "linux/amd64", "--report", str(report)],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    subprocess.run(
        [*pumice, "test", "--timeout", "300", str(copy)],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    (platform,) = json.loads(report.read_bytes())["platforms"].values()
    return {
        "bytes": platform["size"],
        "packages": sum(package["role"] == "package" for package in platform["packages"]),
        "left_out": list_left_out(recipe),
    }


def list_left_out(recipe: Path) -> list[str]:
    """Return what a recipe leaves out by ``without`` and ``exclude``: names of packages, and patterns."""
    effective = load_recipe(recipe)
    paths = [
        f"{rule.package}: {path}" if rule.package else path
        for rule in effective.exclude
        for path in rule.paths
    ]
    return [*effective.without, *paths]


def replace_table(name: str, text: str) -> None:
    """Replace the table ``name`` of the page by ``text``."""
    block = f"<!-- {name} -->\n{text}\n<!-- /{name} -->"
    pattern = rf"<!-- {name} -->.*<!-- /{name} -->"
    PAGE.write_text(re.sub(pattern, lambda _: block, PAGE.read_text(), flags=re.DOTALL))


def published() -> list[dict[str, str]]:
    """Return the published sizes of other images."""
    figures: list[dict[str, str]] = json.loads((RECIPES / "published.json").read_bytes())
    return figures


def table(rows: Sequence[Mapping[str, object]], figures: Sequence[Mapping[str, str]]) -> str:
    """Return the sizes as a Markdown table, in MB (1,000,000 bytes)."""
    lines = [
        "| image | MB | MB, smaller | left out as well | published images: MB (date) |",
        "|---|--:|--:|---|---|",
    ]
    sizes = {(str(row["recipe"]), bool(row["smaller"])): row for row in rows}
    for name in dict.fromkeys(str(row["recipe"]) for row in rows):
        default, smaller = sizes.get((name, False)), sizes.get((name, True))
        others = ", ".join(
            f"`{figure['image']}` {figure['megabytes']} ({figure['date']})"
            for figure in figures
            if figure["recipe"] == name
        )
        items = smaller["left_out"] if smaller else []
        left_out = ", ".join(f"`{item}`" for item in items) if isinstance(items, list) else ""
        lines.append(f"| {name} | {_megabytes(default)} | {_megabytes(smaller)} | {left_out} | {others} |")
    return "\n".join(lines)


def _megabytes(row: Mapping[str, object] | None) -> str:
    size = row["bytes"] if row else None
    return f"{size / 1_000_000:.1f}" if isinstance(size, int) else ""
