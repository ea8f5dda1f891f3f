"""The generated release that the benchmark of slices checks, and its table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench import slices
from pumice.slices.release import load_release

if TYPE_CHECKING:
    from pathlib import Path


def test_the_release_has_the_documented_size_and_no_conflicts(tmp_path: Path) -> None:
    release = load_release(slices.generate_release(tmp_path / "release"))
    rules = [rule for item in release.all_slices() for rule in item.contents]
    patterns = [rule.path for rule in rules if rule.kind == "glob"]
    deep = [path for path in patterns if "**" in path]
    sizes = (
        len(release.packages),
        sum(1 for _ in release.all_slices()),
        len(rules),
        len(patterns),
        len(deep),
    )
    assert sizes == (slices.PACKAGES, slices.SLICES, slices.PATHS, slices.PATTERNS, slices.DEEP_PATTERNS)


def test_the_page_has_the_table_of_the_results() -> None:
    rows = json.loads(slices.RESULTS.read_bytes())
    assert slices.table(rows) in slices.PAGE.read_text()
