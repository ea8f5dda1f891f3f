"""The action for GitHub Actions: its steps run as the runner runs them, with inputs in the environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.docs import ROOT

RECIPE = """\
name: example.com/box
version: "1"
from: {debian: bookworm}
packages: [busybox-static]
run: {command: [/usr/bin/busybox]}
"""


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return document


def run_step(step: dict[str, Any], folder: Path, inputs: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script of a step as the runner does; the runner replaces expressions in `env` only."""

    def replace(match: re.Match[str]) -> str:
        return inputs[match[1]]

    variables = {
        name: re.sub(r"\$\{\{ inputs\.([a-z]+) \}\}", replace, value) for name, value in step["env"].items()
    }
    environment = os.environ | variables | {"RUNNER_TEMP": str(folder / "temp")}
    environment |= {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_PATH": str(folder / "path")}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def default_inputs(action: dict[str, Any]) -> dict[str, str]:
    return {name: value["default"] for name, value in action["inputs"].items()}


def test_every_input_and_output_is_described_and_used(action: dict[str, Any]) -> None:
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"inputs\.([a-z]+)", text)) == set(action["inputs"])
    assert all(value["description"] for value in {**action["inputs"], **action["outputs"]}.values())
    documented = (ROOT / "docs" / "how-to" / "github-and-gitlab.md").read_text()
    assert {name for name in action["inputs"] if f"`{name}`" not in documented} == set()


def test_scripts_contain_no_expressions(action: dict[str, Any]) -> None:
    """An expression in a script would execute what an input contains."""
    assert [step["name"] for step in action["runs"]["steps"] if "${{" in step["run"]] == []


@pytest.mark.mirror
def test_the_action_builds_signs_and_reports_the_digest(
    action: dict[str, Any], tmp_path: Path, shared_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUMICE_HOME", str(shared_home))
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "a long and secret sentence")
    installed = tmp_path / "temp" / "pumice" / "bin"
    installed.mkdir(parents=True)
    program = installed / "pumice"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pumice "$@"\n')
    program.chmod(0o755)
    (tmp_path / "my recipe.yaml").write_text(RECIPE)
    call = partial(subprocess.run, cwd=tmp_path, capture_output=True)
    call([program, "key", "generate", "--output", "signing"], check=True)
    call([program, "lock", "my recipe.yaml"], check=True)

    inputs = default_inputs(action) | {
        "recipe": "my recipe.yaml",
        "key": (tmp_path / "signing.key").read_text(),
        "passphrase": "a long and secret sentence",
    }
    process = run_step(action["runs"]["steps"][1], tmp_path, inputs)
    assert process.returncode == 0, process.stderr
    name, _, digest = (tmp_path / "output").read_text().strip().partition("=")
    assert name == "digest"
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert not (tmp_path / "temp" / "signing.key").exists()
    assert call([program, "verify", "--key", "signing.pub", "example.com/box:1"], check=False).returncode == 0


def test_the_action_fails_with_a_failing_build(action: dict[str, Any], tmp_path: Path) -> None:
    installed = tmp_path / "temp" / "pumice" / "bin"
    installed.mkdir(parents=True)
    (installed / "pumice").write_text("#!/bin/sh\nexit 4\n")
    (installed / "pumice").chmod(0o755)
    inputs = default_inputs(action) | {"key": "a key"}
    assert run_step(action["runs"]["steps"][1], tmp_path, inputs).returncode == 4
    assert not (tmp_path / "temp" / "signing.key").exists()
    assert not (tmp_path / "output").exists()


def test_the_action_signs_without_a_key(action: dict[str, Any], tmp_path: Path) -> None:
    """The programs are replaced by ones that write their arguments down: sigstore would be needed."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\nmkdir -p "$3/bin"\n'
        'for name in pip pumice; do printf \'#!/bin/sh\\nprintf "%%s\\\\n" "$@" > "$0.arguments"\\n\''
        ' > "$3/bin/$name"; chmod +x "$3/bin/$name"; done\n'
    )
    python.chmod(0o755)
    inputs = default_inputs(action) | {"keyless": "true", "python": str(python), "package": "pumice==0.1.0"}
    for step in action["runs"]["steps"]:
        process = run_step(step, tmp_path, inputs)
        assert process.returncode == 0, process.stderr
    programs = tmp_path / "temp" / "pumice" / "bin"
    packages = (programs / "pip.arguments").read_text().split()[-2:]
    assert packages == ["pumice==0.1.0", "pumice[keyless]"]
    arguments = (programs / "pumice.arguments").read_text().split()
    assert "--keyless" in arguments
    assert "--sign" not in arguments
