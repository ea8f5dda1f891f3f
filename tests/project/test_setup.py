"""The pinned dependencies, the targets of make, and the CI script."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.support.docs import ROOT

PINS = ("requirements-dev.txt", "requirements-pins.txt")


def read_pins(file: str) -> dict[str, str]:
    text = (ROOT / file).read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def expand(requirements: list[str], extras: dict[str, list[str]]) -> list[Requirement]:
    """Return the requirements, with the project's own extras replaced by their requirements."""
    expanded = []
    for requirement in map(Requirement, requirements):
        if requirement.name == "pumice":
            for extra in sorted(requirement.extras):
                expanded += expand(extras[extra], extras)
        else:
            expanded.append(requirement)
    return expanded


@pytest.mark.parametrize("file", PINS)
def test_what_is_pinned_is_what_the_project_requires(file: str) -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = document["project"]["optional-dependencies"]
    required = {
        "requirements-dev.txt": [*document["project"]["dependencies"], *extras["dev"]],
        "requirements-pins.txt": document["dependency-groups"]["pins"],
    }[file]
    pinned = read_pins(file)
    mismatches = []
    for requirement in expand(required, extras):
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name not in pinned or not requirement.specifier.contains(pinned[name]):
            mismatches.append(str(requirement))
    assert mismatches == [], "run: make pins"


@pytest.mark.parametrize("file", PINS)
def test_every_pin_has_a_hash_and_no_index(file: str) -> None:
    text = (ROOT / file).read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", line) for line in lines)
    assert "://" not in text


@pytest.mark.parametrize("file", ["Makefile", ".ci/run"])
def test_pip_does_not_choose_versions(file: str) -> None:
    lines = (ROOT / file).read_text().replace("\\\n", "").splitlines()
    installs = [line for line in lines if re.search(r"\bpip\d* install\b", line) and not line.startswith("#")]
    assert all("--no-deps" in line for line in installs)
    assert all("--require-hashes" in line or line.endswith("--editable .") for line in installs)


def test_the_extra_all_holds_every_extra_that_users_want() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for_users = [lines for name, lines in extras.items() if name not in {"all", "dev"}]
    assert {str(requirement) for requirement in expand(extras["all"], extras)} == {
        str(Requirement(line)) for lines in for_users for line in lines
    }


def test_make_lists_its_targets() -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    process = subprocess.run(
        [make, "-C", str(ROOT), "--no-print-directory"], capture_output=True, text=True, check=True
    )
    targets = {line.split()[1] for line in process.stdout.splitlines()}
    assert {"demo", "test", "lint", "bench", "docs", "fmt", "clean"} <= targets


def test_ci_runs_what_the_readme_says() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert "PUMICE_REQUIRE_PEERS=1" in script
    assert re.search(r"^make test", script, re.MULTILINE)
    assert "make test" in (ROOT / "README.md").read_text()
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


def test_ci_names_the_version_of_every_program_that_it_builds() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    go_peers = re.search(r"^go_peers=\(\n(.*?)^\)", script, re.MULTILINE | re.DOTALL)
    assert go_peers
    lines = [line.strip().strip('"').split() for line in go_peers[1].splitlines()]
    names = {line[0] for line in lines}
    assert names == {"ace-validator", "chisel", "cosign2", "cosign3", "crane", "syft", "versitygw"}
    assert all(len(line) == 5 and re.fullmatch(r"v\d+\.\d+\.\d+", line[4]) for line in lines)
    assert not re.search(r"\blatest\b", script)
