"""Thousands of mixed operations by concurrent clients: nothing is lost or damaged, and memory is bounded.

CI runs a slice of them, `make soak` all 10,000.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import sampling, soak

OPERATIONS = 10_000 if sampling.is_soak() else 1_504
MEMORY = 150_000_000


@pytest.mark.sampled
def test_a_short_soak_finds_no_problems(tmp_path: Path) -> None:
    soak_result = soak.run(tmp_path / "root", OPERATIONS, seed=1)
    assert soak_result.problems == []
    assert sum(soak_result.operations.values()) == OPERATIONS
    assert len(soak_result.operations) > 12
    assert soak_result.memory < MEMORY
