"""pytest collects every test file."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.docs import ROOT

if TYPE_CHECKING:
    import pytest


def collected_files(session: pytest.Session) -> set[str]:
    """Return the files with tests; they are collected once more unless this session runs all of them."""
    config = session.config
    is_complete = config.rootpath == ROOT and not config.option.keyword and not config.option.markexpr
    if is_complete and config.args in (["tests"], [str(ROOT / "tests")]):
        return {item.path.relative_to(ROOT).as_posix() for item in session.items}
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return {line.partition("::")[0] for line in process.stdout.splitlines() if "::" in line}


def test_every_test_file_in_the_tree_is_collected(request: pytest.FixtureRequest) -> None:
    collected = collected_files(request.session)
    in_tree = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    in_tree |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*_test.py")}
    assert collected == in_tree
