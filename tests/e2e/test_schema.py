"""The command ``pumice schema``."""

from __future__ import annotations

import json

import pytest

from pumice.cli.main import main
from pumice.recipe.schema import recipe_schema


def test_schema_prints_the_json_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == recipe_schema()


def test_schema_takes_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "recipe.yaml"]) == 2
    assert capsys.readouterr().out == ""
