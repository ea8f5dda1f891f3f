"""pytest collects every test file."""

from __future__ import annotations

import subprocess
import sys

from tests.support.docs import ROOT


def test_every_test_file_in_the_tree_is_collected() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    collected = {line.partition("::")[0] for line in process.stdout.splitlines() if "::" in line}
    in_tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    in_tree |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*_test.py")}
    assert collected == in_tree
