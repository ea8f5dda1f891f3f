"""The command ``pumice show``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support.recipes import HEAD, write


def test_show_prints_a_valid_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, HEAD + "packages: [python3]\n", "base.yaml")
    write(tmp_path, "extend: base.yaml\ndescription: ünï\n")
    assert main(["show", "recipe.yaml"]) == 0
    captured = capsys.readouterr().out
    assert "  - python3  # base.yaml:4:12\n" in captured
    assert 'description: "ünï"  # recipe.yaml:2:14\n' in captured
    write(tmp_path, captured, "shown.yaml")
    assert main(["show", "shown.yaml"]) == 0


def test_show_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(write(tmp_path, HEAD)), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["from"] == {"debian": "bookworm"}


@pytest.mark.parametrize("name", ["a\nb.yaml", "a\udcff.yaml"])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_any_file_name_can_be_shown(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes], name: str, form: str
) -> None:
    path = tmp_path / name
    path.write_text(HEAD)
    assert main(["show", str(path), "--format", form]) == 0
    captured = capsysbinary.readouterr().out.decode()
    (tmp_path / "shown.yaml").write_text(captured)
    assert form == "yaml" or json.loads(captured)["recipe"]["name"] == "example.com/hello"
    assert form == "json" or main(["show", str(tmp_path / "shown.yaml")]) == 0


def test_all_problems_are_reported_and_nothing_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(write(tmp_path, HEAD + "pakages: []\nlayers: none\n"))]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("error: ") == 2
    assert "did you mean 'packages'?" in captured.err


def test_a_missing_recipe_is_reported_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(tmp_path / "none.yaml")]) == 3
    assert capsys.readouterr().err.startswith(f"error: the recipe '{tmp_path}/none.yaml' does not exist")
