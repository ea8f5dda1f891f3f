"""`make soak` runs everything that other runs leave out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import sampling
from tests.support.docs import ROOT


def test_a_sample_is_the_same_in_every_run_and_everything_in_a_soak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sampling.SOAK, raising=False)
    sample = sampling.sample(range(100), 10)
    assert len(set(sample)) == 10
    assert sample == sorted(sample) == sampling.sample(range(100), 10)
    assert sampling.sample("abc", 10) == ["a", "b", "c"]
    monkeypatch.setenv(sampling.SOAK, "1")
    assert sampling.sample(range(100), 10) == list(range(100))


def test_every_test_that_takes_a_sample_is_marked() -> None:
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text()
        uses = re.search(r"\b(sampling\.sample|is_soak)\(", text) is not None
        assert uses == ("mark.sampled" in text) or path == Path(__file__), path


def test_concurrency_is_repeated_as_often_as_it_is_asked_for() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    process = subprocess.run(
        [*command, "tests/contract/test_store.py"],
        cwd=ROOT,
        env={"PUMICE_REPEAT": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.count("::test_threads_share_a_store[") == 14
    assert process.stdout.count("::test_an_empty_blob_is_a_blob[") == 2


def test_an_unknown_step_is_refused() -> None:
    process = subprocess.run(
        [sys.executable, ROOT / "tools" / "soak.py", "everything"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert "unknown step: everything" in process.stderr
