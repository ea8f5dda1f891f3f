"""Two processes that accept images at the same time lose nothing of each other, and never go back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pumice.store.home import Home
from pumice.trust import rollback

NAME = "example.com/db"
ROUNDS = 40
CODE = """
import sys
from pathlib import Path
from pumice.errors import TrustError
from pumice.store.home import Home
from pumice.trust import rollback

track, name, rounds = sys.argv[2], sys.argv[3], int(sys.argv[4])
sys.stdin.readline()
with Home(Path(sys.argv[1])) as home:
    for number in range(1, rounds + 1):
        for of in (track, "both"):
            try:
                image = rollback.AcceptedImage(name, f"{number}", 1, f"sha256:{track}", of)
                rollback.record_accepted(image, home)
            except TrustError:
                pass  # the other was faster
"""


@pytest.mark.concurrency
def test_concurrent_processes_keep_the_newest_image_of_each_track(tmp_path: Path) -> None:
    Home(tmp_path).close()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CODE, str(tmp_path), track, NAME, str(ROUNDS)],
            stdin=subprocess.PIPE,
            text=True,
        )
        for track in ("15", "16")
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        process.communicate()
        assert process.returncode == 0
    with Home(tmp_path) as home:
        versions_by_track = {
            accepted.track: accepted.version for accepted in rollback.read_accepted(NAME, home)
        }
    assert versions_by_track == {"15": str(ROUNDS), "16": str(ROUNDS), "both": str(ROUNDS)}
