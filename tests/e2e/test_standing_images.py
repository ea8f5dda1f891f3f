"""Images that people want: they are the same from every store, give no warning, and pass their tests.

Their recipes are in ``tests/data/standing_images``, with their tests. CI takes small ones, `make soak` all.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import real
from tests.support.docs import ROOT
from tests.support.sampling import is_soak

if TYPE_CHECKING:
    from tests.support.world import PumiceRun

pytestmark = [pytest.mark.mirror, pytest.mark.sampled]

RECIPES = ROOT / "tests/data/standing_images"
SMALL = ("busybox", "curl", "haproxy", "jq", "nginx", "php-fpm", "python", "redis", "static")
IMAGES = sorted(path.parent.name for path in RECIPES.glob("*/recipe.yaml")) if is_soak() else list(SMALL)


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory, shared_home: Path) -> Path:
    """Copy the recipes, lock them, and copy their packages to the folder ``bundle``."""
    folder = tmp_path_factory.mktemp("standing")
    for name in IMAGES:
        shutil.copytree(RECIPES / name, folder / "images" / name, ignore=shutil.ignore_patterns("*.lock"))
    real.must(shared_home, "lock", "images/*", "--bundle", "bundle", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def cold_build(recipes: Path) -> PumiceRun:
    """Build all images in an empty store."""
    arguments = ("build", "images/*", "--locked", "--offline", "--bundle", "bundle")
    return real.run(recipes / "store", *arguments, cwd=recipes)


def test_all_images_are_built_without_a_warning(cold_build: PumiceRun) -> None:
    assert cold_build.code == 0, cold_build.stderr
    assert len(cold_build.stdout.splitlines()) == len(IMAGES)
    warnings = [line for line in cold_build.stderr.splitlines() if line.startswith("warning:")]
    assert warnings == []


def test_images_have_the_same_digests_in_a_store_with_other_packages(
    recipes: Path, cold_build: PumiceRun, shared_home: Path
) -> None:
    assert real.must(shared_home, "build", "images/*", "--locked", cwd=recipes) == cold_build.stdout


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_passes_its_tests(name: str, recipes: Path, cold_build: PumiceRun) -> None:
    assert cold_build.code == 0, cold_build.stderr
    outcome = real.run(recipes / "store", "test", f"images/{name}/recipe.yaml", "--locked", cwd=recipes)
    assert outcome.code == 0, f"{outcome.stdout}\n{outcome.stderr}"


def test_recipes_are_as_short_as_they_can_be() -> None:
    assert len((RECIPES / "php-fpm/recipe.yaml").read_text().splitlines()) < 15
