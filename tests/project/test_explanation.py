"""The pages about the code's structure name files that exist, and their claims hold."""

from __future__ import annotations

import re
import tomllib

import pytest

from pumice.cli.commands import COMMANDS
from pumice.image.transports.locations import TRANSPORTS
from pumice.packing.effects import EFFECTS
from tests.support.docs import ROOT

SOURCE = ROOT / "src" / "pumice"
EXPLANATION = ROOT / "docs" / "explanation"
MAX_STEPS = 8


def flows() -> dict[str, list[str]]:
    """Return the first file of each numbered step, by heading."""
    steps: dict[str, list[str]] = {}
    for section in (EXPLANATION / "data-flow.md").read_text().split("\n## ")[1:]:
        title, _, text = section.partition("\n")
        steps[title] = re.findall(r"^\d+\. `([^`]+\.py)`", text, re.MULTILINE)
    return steps


def floors() -> dict[str, int]:
    """Return the height of each folder of the code, from the layers of the import contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    return {room: len(layers) - index for index, row in enumerate(layers) for room in row.split(" : ")}


@pytest.mark.parametrize("title", flows())
def test_a_flow_is_short_and_only_descends_the_layers(title: str) -> None:
    files = flows()[title]
    assert 3 <= len(files) <= MAX_STEPS
    assert len(set(files)) == len(files)
    heights = [floors()[file.partition("/")[0]] for file in files]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize("page", ["architecture.md", "data-flow.md", "extending.md"])
def test_a_page_names_files_that_exist(page: str) -> None:
    named_files = re.findall(
        r"`((?:src/|tests/|docs/)?[a-z0-9_/]+/(?:[a-z0-9_]+\.py|))`", (EXPLANATION / page).read_text()
    )
    assert named_files
    missing = [name for name in named_files if not (ROOT / name).exists() and not (SOURCE / name).exists()]
    assert missing == []


def test_each_table_has_a_module_for_every_row() -> None:
    commands = SOURCE / "cli"
    assert all(
        (commands / f"{verb}.py").is_file() or (commands / verb / "__init__.py").is_file()
        for verb in (name.replace("-", "_") for name in COMMANDS)
    )
    assert all(effect.__module__.startswith("pumice.packing.effects.") for effect in EFFECTS)
    modules = [effect.__module__ for effect in EFFECTS]
    assert len(set(modules)) == len(modules)
    assert TRANSPORTS
