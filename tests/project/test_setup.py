"""What a newcomer's first command rests on."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.support.docs import ROOT


def pins() -> dict[str, str]:
    text = (ROOT / "requirements-dev.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_what_is_pinned_is_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    locked = pins()
    wrong = []
    for line in asked:
        requirement = Requirement(line)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name not in locked or not requirement.specifier.contains(locked[name]):
            wrong.append(line)
    assert wrong == [], "run: make pins"


def test_every_pin_has_a_hash_and_no_place() -> None:
    text = (ROOT / "requirements-dev.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert "://" not in text


def test_make_lists_its_targets() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        [make, "-C", str(ROOT), "--no-print-directory"], capture_output=True, text=True, check=True
    )
    listed = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"demo", "test", "lint", "bench", "docs", "fmt", "clean"} <= listed


def test_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert "PUMICE_REQUIRE_PEERS=1" in script
    assert re.search(r"^make test", script, re.MULTILINE)
    assert "make test" in (ROOT / "README.md").read_text()
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
