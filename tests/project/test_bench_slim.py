"""The table of whole, lean and slim images in the documentation."""

from __future__ import annotations

import json

from bench import sizes, slim_sizes


def test_the_page_has_the_table_of_the_results() -> None:
    rows = json.loads(slim_sizes.RESULTS.read_bytes())
    assert slim_sizes.table(rows, sizes.published()) in sizes.PAGE.read_text()
    assert tuple(row["recipe"] for row in rows) == slim_sizes.NAMES
    assert all(row["slim"] <= row["lean"] <= row["whole"] for row in rows)
