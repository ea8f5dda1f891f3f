"""Which recipe a command works on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.cli.recipes.recipe_paths import find_recipe, find_recipes
from pumice.errors import PumiceError, RecipeError, UsageError


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["pumice.yaml", "recipe.yaml"])
def test_the_recipe_of_the_directory_is_the_default(name: str) -> None:
    Path(name).touch()
    assert find_recipe(None) == Path(name)
    assert find_recipe(".") == Path(name)


def test_a_directory_stands_for_its_recipe() -> None:
    Path("app").mkdir()
    Path("app/recipe.yaml").touch()
    assert find_recipe("app") == find_recipe("app/") == Path("app/recipe.yaml")


def test_two_recipes_are_ambiguous() -> None:
    Path("pumice.yaml").touch()
    Path("recipe.yaml").touch()
    with pytest.raises(UsageError, match=r"there are two recipes: pumice\.yaml and recipe\.yaml"):
        find_recipe(None)


@pytest.mark.parametrize(
    ("names", "text", "message", "hint"),
    [
        (
            [],
            None,
            "there is no pumice.yaml or recipe.yaml in this directory",
            "write one with 'pumice init', or name one",
        ),
        (["a/x"], "a", "there is no pumice.yaml or recipe.yaml in 'a'", "write one with 'pumice init a'"),
        (["web.yaml"], None, "there is no pumice.yaml or recipe.yaml in this directory", "web.yaml"),
        (["recipe.yaml"], "recipe.yml", "no such recipe", "did you mean recipe.yaml?"),
        (["a/web.yml"], "a/web.yaml", "no such recipe", "did you mean a/web.yml?"),
        (["a/recipe.yaml"], "a/recpie.yaml", "no such recipe", "did you mean a/recipe.yaml?"),
    ],
)
def test_what_is_not_there_gets_a_hint(names: list[str], text: str | None, message: str, hint: str) -> None:
    for name in names:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    with pytest.raises(PumiceError) as caught:
        find_recipe(text)
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")
    assert isinstance(caught.value, RecipeError if text and "." in text else UsageError)


def test_any_other_name_is_left_to_the_reader() -> None:
    assert find_recipe("/dev/stdin") == Path("/dev/stdin")
    assert find_recipe("x" * 5000) == Path("x" * 5000)
    assert find_recipe("absent/dir/recipe.yaml") == Path("absent/dir/recipe.yaml")


@pytest.mark.parametrize("text", ["nothing.yaml", "a.yaml", "base.yaml"])
def test_a_name_that_only_shares_the_suffix_is_not_suggested(text: str) -> None:
    for name in ("huge.yaml", "deep.yaml", "list.yaml"):
        Path(name).touch()
    assert find_recipe(text) == Path(text)


def test_patterns_are_expanded_in_alphabetic_order_and_each_recipe_is_taken_once() -> None:
    for name in ("b", "a", "c"):
        Path("images", name).mkdir(parents=True)
        Path("images", name, "recipe.yaml").touch()
    paths = [Path("images", name, "recipe.yaml") for name in ("c", "a", "b")]
    assert find_recipes(["images/c", "images/*", "images/[ab]/recipe.yaml"]) == (paths, True)
    assert find_recipes(["images/a"]) == ([Path("images/a/recipe.yaml")], False)
    assert find_recipes(["images/a*"]).is_list


def test_a_file_whose_name_is_a_pattern_is_that_file() -> None:
    Path("a[1].yaml").touch()
    Path("a1.yaml").touch()
    assert find_recipes(["a[1].yaml"]) == ([Path("a[1].yaml")], False)
