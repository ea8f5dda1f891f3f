"""The reference page: it names every key, and every recipe on it loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pumice.errors import Problem
from pumice.formats import yaml
from pumice.recipe.keys import RECIPE
from pumice.recipe.kinds import ListOf, Table
from pumice.recipe.load import load_recipe
from pumice.recipe.typed import BAD, RecipeReader
from tests.support.docs import Block, blocks
from tests.support.recipes import write

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "recipe.md").read_text()
RECIPES = [block for block in blocks(PAGE) if block.kind == "yaml"]


def tables(table: Table) -> list[Table]:
    all_tables = [table]
    for key in table.keys:
        kind = key.kind.item if isinstance(key.kind, ListOf) else key.kind
        if isinstance(kind, Table):
            all_tables += tables(kind)
    return all_tables


@pytest.mark.parametrize("table", tables(RECIPE), ids=lambda table: table.struct.__name__)
def test_every_key_is_on_the_page(table: Table) -> None:
    words = set(re.findall(r"`([a-z_]+)(?:: [^`]*)?`", PAGE))
    assert {key.name for key in table.keys} <= words


def test_every_reserved_key_is_on_the_page() -> None:
    for name, _, _ in RECIPE.reserved:
        assert f"`{name}` is reserved" in PAGE


@pytest.mark.parametrize("block", RECIPES, ids=lambda block: f"line-{block.line}")
def test_every_recipe_on_the_page_loads(tmp_path: Path, block: Block) -> None:
    for recipe_text in RECIPES:
        if "file" in recipe_text.notes:
            write(tmp_path, recipe_text.text, recipe_text.notes["file"])
    text = block.text
    if "extend:" not in text:
        required_keys = {"name": "example.com/x", "version": '"1"', "from": "{debian: bookworm}"}
        lines = [
            f"{key}: {value}" for key, value in required_keys.items() if not re.search(f"^{key}:", text, re.M)
        ]
        text = "\n".join([*lines, text])
    load_recipe(write(tmp_path, text))


@pytest.mark.parametrize("table", tables(RECIPE), ids=lambda table: table.struct.__name__)
def test_every_example_of_the_table_is_valid(tmp_path: Path, table: Table) -> None:
    """What hints and the schema offer as an example must work."""
    for key in table.keys:
        document = yaml.read_document(f"{key.name}: {key.example}".encode(), "example")
        assert isinstance(document.root, yaml.Mapping)
        problems: list[Problem] = []
        value = RecipeReader(problems, {}, main=document.root.file).read_value(document.root.items[0][1], key)
        assert value is not BAD, problems
