"""`make demo` works and leaves no files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docs import ROOT


@pytest.mark.mirror
def test_the_demo_shows_what_it_promises_and_leaves_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "demo.py")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    assert len(set(re.findall(r"^    (sha256:[0-9a-f]{64})$", process.stdout, re.MULTILINE))) == 1
    assert re.search(r"^    signed +by ", process.stdout, re.MULTILINE)
    assert "Hello from a small image" in process.stdout
    assert list(tmp_path.iterdir()) == []
