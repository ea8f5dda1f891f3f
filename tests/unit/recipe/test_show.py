"""The effective recipe as text: it loads as the same recipe, and says where each value stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings

from pumice.errors import RecipeError
from pumice.formats import yaml
from pumice.recipe import show
from pumice.recipe.load import load_effective, load_recipe
from pumice.recipe.model import Recipe
from tests.support.recipes import HEAD, as_yaml, values, write


def without_locations(value: Any) -> Any:
    """Return a recipe, or a part of one, without what tells where it was written."""
    if isinstance(value, tuple):
        return tuple(map(without_locations, value))
    if not isinstance(value, msgspec.Struct):
        return value
    fields = {name: without_locations(getattr(value, name)) for name in value.__struct_fields__}
    blank = {name: "" for name in ("where", "base_dir", "path") if isinstance(fields.get(name), str)}
    if not isinstance(value, Recipe):
        blank.pop("path", None)  # of a file in the image
    return msgspec.structs.replace(value, **(fields | blank))


def test_each_value_has_its_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        HEAD + "packages: [python3, -perl]\nfiles:\n  - {from: app, to: /app, mode: 755}\n",
        "base.yaml",
    )
    path = write(
        tmp_path, 'extend: base.yaml\nversion: 1.10\npackages:\n  - curl\nlabels: {}\nrun: {user: "no"}\n'
    )
    assert show.format_yaml(load_effective(path.relative_to(tmp_path))) == (
        "name: example.com/hello  # base.yaml:1:7\n"
        'version: "1.10"  # recipe.yaml:2:10\n'
        "from:\n"
        "  debian: bookworm  # base.yaml:3:16\n"
        "packages:\n"
        "  - python3  # base.yaml:4:12\n"
        '  - "-perl"  # base.yaml:4:21\n'
        "  - curl  # recipe.yaml:4:5\n"
        "files:\n"
        "  - from: app  # base.yaml:6:12\n"
        "    to: /app  # base.yaml:6:21\n"
        '    mode: "0755"  # base.yaml:6:33\n'
        "labels: {}  # recipe.yaml:5:9\n"
        "run:\n"
        '  user: "no"  # recipe.yaml:6:13\n'
    )


def test_json_contains_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, HEAD + "labels: {a/b: x}\nrecommends: true\nusers: [{name: u, uid: 7}]\n")
    document = show.format_json(load_effective("recipe.yaml"))
    assert document["recipe"] == {
        "name": "example.com/hello",
        "version": "1.0",
        "from": {"debian": "bookworm"},
        "labels": {"a/b": "x"},
        "recommends": True,
        "users": [{"name": "u", "uid": 7}],
    }
    assert document["sources"]["/labels/a~1b"] == "recipe.yaml:4:15"
    assert document["sources"]["/users/0/uid"] == "recipe.yaml:6:24"


def test_a_file_name_cannot_end_its_comment(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD, "a\nrun: evil.yaml")
    text = show.format_yaml(load_effective(path))
    assert len(text.splitlines()) == 4
    assert load_recipe(write(tmp_path, text, "again.yaml")).name == "example.com/hello"


@settings(max_examples=40)
@given(values())
def test_the_shown_recipe_loads_as_the_same_recipe(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = write(folder, as_yaml(value), "shown.yaml")
    try:
        effective_recipe = load_effective(path)
    except RecipeError:
        assume(False)
    rewritten_path = write(folder, show.format_yaml(effective_recipe), "again.yaml")
    assert without_locations(load_recipe(rewritten_path)) == without_locations(effective_recipe.recipe)
    assert (
        show.format_json(load_effective(rewritten_path))["recipe"]
        == show.format_json(effective_recipe)["recipe"]
    )


@settings(max_examples=40)
@given(values())
def test_shown_strings_are_strings_to_other_readers(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    import yaml as pyyaml

    path = write(tmp_path_factory.getbasetemp(), as_yaml(value), "others.yaml")
    try:
        effective_recipe = load_effective(path)
    except RecipeError:
        assume(False)
    assert (
        pyyaml.safe_load(show.format_yaml(effective_recipe)) == show.format_json(effective_recipe)["recipe"]
    )
    assert yaml.read_document(show.format_yaml(effective_recipe).encode(), "x").problems == ()
