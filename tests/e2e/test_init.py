"""The command ``pumice init``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.recipe.keys import RECIPE, RUN
from pumice.recipe.load import load_recipe

RECIPE_KEYS = {key.name for table in (RECIPE, RUN) for key in table.keys}


@pytest.mark.parametrize(
    ("argument", "expected_recipe", "name"),
    [
        (None, "recipe.yaml", "example.com/start"),
        ("new/My App", "new/My App/recipe.yaml", "example.com/my-app"),
        ("web.yaml", "web.yaml", "example.com/start"),
        ("new/web.yml", "new/web.yml", "example.com/new"),
        ("a\nb.yaml", "a\nb.yaml", "example.com/start"),
        ("a\udcff.yaml", "a\udcff.yaml", "example.com/start"),
        ("___", "___/recipe.yaml", "example.com/hello"),
        ("ü1" + "x" * 200, "ü1" + "x" * 200 + "/recipe.yaml", "example.com/1" + "x" * 63),
    ],
)
def test_init_writes_a_valid_recipe(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsysbinary: pytest.CaptureFixture[bytes],
    argument: str | None,
    expected_recipe: str,
    name: str,
) -> None:
    (tmp_path / "start").mkdir()
    monkeypatch.chdir(tmp_path / "start")
    assert main(["init", *([argument] if argument else [])]) == 0
    assert capsysbinary.readouterr().out == os.fsencode(expected_recipe) + b"\n"
    assert load_recipe(Path(expected_recipe)).name == name


def test_the_commented_keys_are_valid(tmp_path: Path) -> None:
    """Each line that begins with '# ' and looks like a key is uncommented, one at a time."""
    assert main(["init", str(tmp_path)]) == 0
    lines = (tmp_path / "recipe.yaml").read_text().splitlines()
    tried = 0
    for number, line in enumerate(lines):
        body = line.lstrip().removeprefix("# ")
        indent = line[: len(line) - len(line.lstrip())]
        if not line.lstrip().startswith("# ") or not (
            body.startswith("- ") or body.split(":")[0] in RECIPE_KEYS
        ):
            continue
        changed_lines = [*lines[:number], indent + body, *lines[number + 1 :]]
        (tmp_path / "changed.yaml").write_text("\n".join(changed_lines))
        load_recipe(tmp_path / "changed.yaml")
        tried += 1
    assert tried >= 8


@pytest.mark.parametrize("argument", ["recipe.yaml", ".", "recipe.yaml/below"])
def test_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argument: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text("mine")
    assert main(["init", argument]) in (1, 2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err[:7]) == ("", "error: ")
    assert Path("recipe.yaml").read_text() == "mine"


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").symlink_to("elsewhere")
    assert main(["init", str(tmp_path)]) == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_name_that_cannot_be_a_recipe_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "foo.json"]) == 2
    assert capsys.readouterr().err == (
        "error: foo.json: a recipe cannot have the suffix .json\n"
        "  hint: pass a directory, or a file name such as foo.yaml\n"
    )
    assert not (tmp_path / "foo.json").exists()
