"""The JSON Schema against an independent validator: it takes what loads, and refuses what it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import assume, given, settings

from pumice.errors import RecipeError
from pumice.recipe.load import load_recipe
from pumice.recipe.schema import recipe_schema
from tests.support.recipes import as_yaml, values, write

ROOT = Path(__file__).resolve().parents[3]
VALIDATOR = jsonschema.Draft202012Validator(recipe_schema())


def test_the_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(recipe_schema())


def test_the_examples_of_the_project_are_valid() -> None:
    for path in sorted((ROOT / "examples").glob("*/recipe.yaml")):
        VALIDATOR.validate(yaml.safe_load(path.read_text()))


# What only a look at other values or files can tell.
_BEYOND = {"command-string", "command-variable", "duplicate-keys", "aliases", "empty", "syntax", "tab"}
_BEYOND |= {"extend-cycle", "extend-missing", "extend-together"}


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "tests/golden/recipe").glob("*.yaml")))
def test_the_schema_rejects_invalid_recipes(name: str) -> None:
    if name in _BEYOND:
        return
    text = (ROOT / "tests/golden/recipe" / f"{name}.yaml").read_text()
    assert not VALIDATOR.is_valid(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "extend: base.yaml",
        "extend: [base.yaml]\nfrom: {mirrors: ['https://mirror.example/']}",
        "{name: a, version: 1.10, from: {debian: x}, files: [{from: a, to: /a, mode: 0755}]}",
        "{name: a, version: 1, from: {debian: x}, run: {user: no, ports: {http: 8080}, command: sh}}",
        "{name: a, version: 1, from: {debian: x}, run: {health: {command: x, interval: 5}}}",
    ],
)
def test_the_schema_accepts_values_as_yaml_types_them(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(text))


@settings(max_examples=40)
@given(values())
def test_the_schema_accepts_every_valid_recipe(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    try:
        load_recipe(write(tmp_path_factory.getbasetemp(), as_yaml(value), "valid.yaml"))
    except RecipeError:
        assume(False)
    VALIDATOR.validate(value)
