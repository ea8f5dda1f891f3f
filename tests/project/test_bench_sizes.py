"""The recipes and figures behind the table of image sizes in the documentation."""

from __future__ import annotations

import datetime
import json

import pytest

from bench import sizes
from pumice.recipe.load import load_recipe

RECIPES = sorted(path.stem for path in sizes.RECIPES.glob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_loads_and_has_tests(name: str) -> None:
    path = sizes.RECIPES / f"{name}.yaml"
    assert load_recipe(path).tests
    assert bool(sizes.list_left_out(path)) == name.endswith("-smaller")
    assert name.removesuffix("-smaller") in RECIPES


def test_published_figures_are_dated_and_belong_to_a_recipe() -> None:
    for figure in sizes.published():
        assert figure["recipe"] in RECIPES
        assert datetime.date.fromisoformat(figure["date"]).year > 2000
        assert float(figure["megabytes"]) > 0


def test_the_page_has_the_table_of_the_results() -> None:
    rows = json.loads(sizes.RESULTS.read_bytes())
    assert sizes.table(rows, sizes.published()) in sizes.PAGE.read_text()
    assert {(row["recipe"], row["smaller"]) for row in rows} == {
        (name.removesuffix("-smaller"), name.endswith("-smaller")) for name in RECIPES
    }
