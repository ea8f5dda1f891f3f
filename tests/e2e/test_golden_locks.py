"""An old lock always gives the image with the same digest."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support import golden_images
from tests.support.docs import ROOT
from tests.support.golden_images import IMAGES
from tests.support.world import World

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_1 = ROOT / "tests/data/format-1"
"""Locks and digests as the first format's own code made them. Nothing here is ever written again."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("golden"), golden_images.PACKAGES)
    golden_images.sources(world.project)
    return world


def build(world: World, name: str, lock: Path, store: str) -> str:
    image = IMAGES[name]
    world.write(image.extra, image.packages)
    shutil.copy(lock, world.project / "recipe.lock")
    return world.build("--locked", environment=image.environment, store=store)


@pytest.mark.parametrize("name", sorted(IMAGES))
def test_a_lock_of_format_1_keeps_its_digest(world: World, name: str) -> None:
    digests = json.loads((FORMAT_1 / "digests.json").read_bytes())
    lock = FORMAT_1 / f"{name}.lock"
    assert json.loads(lock.read_bytes())["format"] == 1
    assert build(world, name, lock, f"store-{name}") == digests[name]
    assert build(world, name, lock, "shared") == digests[name], "and in a store with other images"


def test_every_golden_lock_is_built() -> None:
    assert {path.stem for path in FORMAT_1.glob("*.lock")} == set(IMAGES)
