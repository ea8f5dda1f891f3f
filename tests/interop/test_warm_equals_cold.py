"""One lock gives one image and one set of documents, with any store and any number of threads."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest

from pumice.assembly import recipe_build
from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import real
from tests.support.package_sets import ALL, SAMPLE
from tests.support.sampling import is_soak

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.mirror, pytest.mark.sampled]

SETS = list(ALL if is_soak() else SAMPLE)
random.Random(os.environ.get("PUMICE_SOAK_SEED", "1")).shuffle(SETS)  # set built earlier in the warm store


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a directory with a store for builds of all sets, and a bundle of all packages."""
    folder = tmp_path_factory.mktemp("warm-equals-cold")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("names", SETS, ids="-".join)
def test_a_warm_store_gives_the_same_image_as_an_empty_store(
    shop: Path, names: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    include = "include: [man]" if len(names) > 3 else ""
    base = "base: none" if names == ("npm",) else ""
    bytecode = "python: {bytecode: true}" if "python3-pip" in names else ""
    recipe = real.recipe(shop / "-".join(names), names, include, base, bytecode)
    bundle = shop / "bundle"
    real.must(shop / "warm", "lock", recipe, "--bundle", bundle)

    def build(store: str, processors: int) -> tuple[str, list[str]]:
        monkeypatch.setenv("PUMICE_HOME", str(shop / store))
        monkeypatch.setattr(recipe_build, "default_processors", lambda: processors)
        options = ("--locked", "--offline", "--bundle", str(bundle), "--progress", "none")
        capsys.readouterr()
        code = main(["build", *options, str(recipe)])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        digest = captured.out.strip()
        with Home(shop / store) as home:
            return digest, sorted(descriptor.digest for descriptor in home.referrers.get(digest))

    warm = build("warm", 5)
    try:
        assert build("cold", 1) == warm
    finally:
        shutil.rmtree(shop / "cold", ignore_errors=True)


@pytest.mark.parametrize("names", SETS, ids="-".join)
def test_a_lock_does_not_depend_on_the_hash_seed(
    shared_home: Path, names: Sequence[str], tmp_path: Path
) -> None:
    recipe = real.recipe(tmp_path, names)
    locks = []
    for seed in ("1", "2"):
        real.must(shared_home, "lock", recipe, PYTHONHASHSEED=seed)
        locks.append(recipe.with_suffix(".lock").read_bytes())
        recipe.with_suffix(".lock").unlink()
    assert locks[0] == locks[1]
