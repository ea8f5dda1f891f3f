"""The figures of speed in the documentation are those of ``bench/results``."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from bench import starts
from tests.support.docs import ROOT

RESULTS = ROOT / "bench" / "results"
EXPLANATION = ROOT / "docs" / "explanation"


def load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_bytes())


def figure_after(page: str, start: str) -> list[float]:
    """Return the numbers of the row of a table that begins with ``start``."""
    row = next(line for line in page.splitlines() if line.startswith(f"| {start} |"))
    cells = row.split("|")[2:]
    return [float(number.replace(",", "")) for cell in cells for number in re.findall(r"[\d,]*\.?\d+", cell)]


def test_the_readme_has_the_table_of_builds() -> None:
    readme = (ROOT / "README.md").read_text()
    for row in load("latest")["rows"]:
        cells = (row["work"], row["tool"], f"{row['seconds']:.2f}", row["memory_mb"])
        assert f"| {' | '.join(map(str, cells))} | {row['ours_to_theirs']:.2f} |" in readme


def test_the_page_of_starts_has_the_table_of_the_results() -> None:
    assert starts.table(load("run")) in starts.PAGE.read_text()


@pytest.mark.parametrize(
    ("work", "row"),
    [
        ("manifest by tag, 32 connections", "manifest by tag, 32 connections"),
        ("small blob, 32 connections", "small blob, 32 connections"),
        ("26 MB layer, 4 connections", "layer of 26 MB, 4 connections"),
        ("400 MB upload, PUT", "upload of 400 MB, one PUT"),
        ("200 pulls of 26 MB at once", "200 concurrent pulls of 26 MB, no errors"),
    ],
)
def test_the_page_of_registries_has_the_results(work: str, row: str) -> None:
    results = [result["result"] for result in load("registry")["rows"] if result["work"] == work]
    figures = [float(result.split()[0].replace(",", "")) for result in results]
    documented = figure_after((EXPLANATION / "fast-registries.md").read_text(), row)
    assert documented == pytest.approx(figures, rel=0.02)


def test_the_page_of_performance_rounds_the_results() -> None:
    page = (EXPLANATION / "performance.md").read_text()
    builds = {(row["work"], row["tool"]): row for row in load("latest")["rows"]}
    large = builds["large: from the mirror, nothing there yet", "pumice"]
    other = builds["large: from the mirror, nothing there yet", "mmdebstrap"]
    for start, expected in {
        "build a large image from a mirror, with an empty store": [large["seconds"], other["seconds"]],
        "memory of the largest of these builds": [large["memory_mb"], other["memory_mb"]],
        "build it again after one package was added": [
            builds["large: one package added", "pumice"]["seconds"]
        ],
        "build it again after one of your files changed": [
            builds["large: one file of the application changed", "pumice"]["seconds"]
        ],
        "build it again without changes": [
            builds["large: from a local mirror, nothing changed", "pumice"]["seconds"]
        ],
    }.items():
        assert figure_after(page, start) == pytest.approx(expected, rel=0.12)
    runs = {row["what"]: row["ratio"] for row in load("run")}
    assert figure_after(page, "start a program with `--network host` and runc") == [
        runs["run --network host --stage1 runc: podman run"]
    ]
