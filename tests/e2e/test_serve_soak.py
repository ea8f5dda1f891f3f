"""Thousands of mixed operations by concurrent clients: nothing lost, nothing damaged, little memory.

CI runs a slice of them, `make soak` all 10,000.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import sampling, soak

OPERATIONS = 10_000 if sampling.is_soak() else 1_504
MEMORY = 150_000_000


@pytest.mark.sampled
def test_a_slice_of_the_soak(tmp_path: Path) -> None:
    done = soak.run(tmp_path / "root", OPERATIONS, seed=1)
    assert done.problems == []
    assert sum(done.operations.values()) == OPERATIONS
    assert len(done.operations) > 12
    assert done.memory < MEMORY
