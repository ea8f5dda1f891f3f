"""Recipes that extend others: what is merged how, and that places name the right file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.errors import RecipeError
from pumice.recipe.load import load_recipe
from pumice.recipe.model import ExtraArchive, HealthCheck, Recipe
from tests.support.recipes import HEAD, write


def merged(folder: Path, base_text: str, recipe_text: str) -> Recipe:
    write(folder, HEAD + base_text, "base.yaml")
    return load_recipe(write(folder, "extend: base.yaml\n" + recipe_text))


def names(recipe: Recipe) -> list[str]:
    return [
        f"{'-' if request.exclude else ''}{request.name}{'=' if request.version else ''}{request.version}"
        for request in recipe.packages
    ]


def test_missing_keys_come_from_the_extended_recipe(tmp_path: Path) -> None:
    recipe = merged(tmp_path, "description: below\nlayers: single\n", "description: above\n")
    assert (recipe.name, recipe.description, recipe.layers) == ("example.com/hello", "above", "single")


def test_maps_merge_key_by_key(tmp_path: Path) -> None:
    base_text = "environment: {A: 1, B: 1}\n"
    base_text += "run: {user: root, ports: {http: 80}, health: {command: [x], retries: 2}}\n"
    recipe_text = (
        "environment: {B: 2, C: 2}\nrun: {user: nonroot, ports: {dns: 53}, health: {interval: 1m}}\n"
    )
    recipe = merged(tmp_path, base_text, recipe_text)
    assert recipe.environment == {"A": "1", "B": "2", "C": "2"}
    assert recipe.run.user == "nonroot"
    assert recipe.run.ports == {"http": "80/tcp", "dns": "53/tcp"}
    assert recipe.run.health == HealthCheck(command=("x",), retries=2, interval=60)


def test_lists_are_appended_without_duplicates(tmp_path: Path) -> None:
    recipe = merged(tmp_path, "archs: [amd64]\ninclude: [docs]\n", "archs: [arm64, amd64]\ninclude: [man]\n")
    assert (recipe.archs, recipe.include) == (("amd64", "arm64"), ("docs", "man"))


def test_commands_and_arguments_are_replaced(tmp_path: Path) -> None:
    base_text = "run: {command: [a, b], arguments: [c], health: {command: [d, e]}}\n"
    recipe = merged(tmp_path, base_text, "run: {command: x, arguments: [], health: {command: [y]}}\n")
    assert (recipe.run.command, recipe.run.arguments) == (("x",), ())
    assert recipe.run.health == HealthCheck(command=("y",))


@pytest.mark.parametrize(
    ("base_text", "recipe_text", "merged_requests"),
    [
        ("[aa, bb]", "[cc]", ["aa", "bb", "cc"]),
        ("[aa, bb]", "[aa]", ["aa", "bb"]),
        ("[aa, bb]", "[aa=1]", ["aa=1", "bb"]),
        ("[aa=1]", "[aa]", ["aa"]),
        ("[aa, bb]", "[-aa]", ["bb"]),
        ("[aa=1, bb]", "[-aa]", ["bb"]),
        ("[aa]", "[-cc]", ["aa", "-cc"]),
        ("[-aa]", "[aa]", ["aa"]),
        ("[-aa]", "[-aa]", ["-aa"]),
    ],
)
def test_a_request_replaces_one_for_the_same_package(
    tmp_path: Path, base_text: str, recipe_text: str, merged_requests: list[str]
) -> None:
    assert (
        names(merged(tmp_path, f"packages: {base_text}\n", f"packages: {recipe_text}\n")) == merged_requests
    )


def test_users_groups_and_archives_merge_by_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        'name: example.com/x\nversion: "1"\n'
        'from: {debian: x, archives: [{name: t, url: "https://a.example/", suite: s}]}\n'
        "users: [{name: a, uid: 1}, {name: b}]\n",
        "base.yaml",
    )
    recipe_text = (
        "extend: base.yaml\nfrom: {archives: [{name: t, key: k}]}\nusers: [{name: b, uid: 2}, {name: c}]\n"
    )
    recipe = load_recipe(write(tmp_path, recipe_text))
    assert [(user.name, user.uid) for user in recipe.users] == [("a", 1), ("b", 2), ("c", None)]
    assert recipe.origin.archives == (ExtraArchive(name="t", url="https://a.example/", suite="s", key="k"),)


def test_several_recipes_are_merged_in_order(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "description: one\npackages: [aa]\n", "one.yaml")
    write(tmp_path, "description: two\npackages: [bb, -aa]\n", "two.yaml")
    recipe = load_recipe(write(tmp_path, "extend: [one.yaml, two.yaml]\npackages: [cc]\n"))
    assert (recipe.description, names(recipe)) == ("two", ["bb", "cc"])


def test_a_recipe_extended_twice_contributes_once(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "packages: [aa]\nfiles: [{text: a, to: /a}]\n", "root.yaml")
    write(tmp_path, "extend: root.yaml\npackages: [bb]\n", "left.yaml")
    write(tmp_path, "extend: root.yaml\npackages: [cc]\n", "right.yaml")
    recipe = load_recipe(write(tmp_path, "extend: [left.yaml, right.yaml]\n"))
    assert names(recipe) == ["aa", "bb", "cc"]
    assert len(recipe.files) == 1


def test_a_file_extended_many_times_is_merged_once(tmp_path: Path) -> None:
    write(tmp_path, HEAD + "files: [{text: a, to: /a}]\n", "0.yaml")
    for number in range(1, 60):
        write(tmp_path, f"extend: [{number - 1}.yaml, {number - 1}.yaml]\n", f"{number}.yaml")
    assert len(load_recipe(tmp_path / "59.yaml").files) == 1


def test_paths_are_relative_to_the_main_recipe(tmp_path: Path) -> None:
    base_text = """
from:
  debian: bookworm
  keyrings: [a.asc, /b.asc]
  archives: [{name: t, url: "https://a.example/", suite: s, key: k/k}]
packages: [./x.deb, ../y.deb]
files: [{from: app, to: /app}]
"""
    write(tmp_path, base_text, "common/deep/base.yaml")
    recipe_text = "extend: ../common/deep/base.yaml\nfiles: [{from: own, to: /own}]\n"
    recipe_text += 'name: example.com/x\nversion: "1"\n'
    recipe = load_recipe(write(tmp_path, recipe_text, "app/recipe.yaml"))
    assert recipe.origin.keyrings == ("../common/deep/a.asc", "/b.asc")
    assert recipe.origin.archives[0].key == "../common/deep/k/k"
    assert [request.file for request in recipe.packages] == ["../common/deep/x.deb", "../common/y.deb"]
    assert [(rule.source, rule.base_dir) for rule in recipe.files] == [("app", "../common/deep"), ("own", "")]
    assert recipe.files[0].where == f"{tmp_path}/common/deep/base.yaml:7:9"


def test_locations_name_files_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "pakages: []\n", "common/base.yaml")
    write(tmp_path, "extend: ../common/base.yaml\n" + HEAD, "app/recipe.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError) as caught:
        load_recipe(Path("app/recipe.yaml"))
    assert caught.value.problems[0].where == "common/base.yaml:1:1"


def test_problems_of_overridden_values_are_reported(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"base.yaml:4:9: the value of 'layers' is invalid"):
        merged(tmp_path, "layers: nope\n", "layers: auto\n")


@pytest.mark.parametrize("path", ["recipe.yaml", "./recipe.yaml", "sub/../recipe.yaml"])
def test_a_recipe_cannot_extend_itself(tmp_path: Path, path: str) -> None:
    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(write(tmp_path, f"extend: {path}\n" + HEAD))


def test_too_many_files_are_rejected(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path, f"extend: {number + 1}.yaml\n", f"{number}.yaml")
    with pytest.raises(RecipeError, match="more than 64 recipe files"):
        load_recipe(tmp_path / "0.yaml")
