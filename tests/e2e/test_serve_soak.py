"""Thousands of mixed operations by concurrent clients: nothing lost, nothing damaged, little memory.

Here a slice of them; ``python -m bench.soak`` does all 10,000.
"""

from __future__ import annotations

from pathlib import Path

from tests.support import soak

OPERATIONS = 800
MEMORY = 150_000_000


def test_a_slice_of_the_soak(tmp_path: Path) -> None:
    done = soak.run(tmp_path / "root", OPERATIONS, seed=1)
    assert done.problems == []
    assert sum(done.operations.values()) == OPERATIONS
    assert len(done.operations) > 12
    assert done.memory < MEMORY
