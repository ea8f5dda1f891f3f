"""An update of a real package changes the layers of that package and the state, and little else.

*Changed bytes* are the sizes of the packages' layers with ``layers: packages``, the minimum if every
package has a layer.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bench import mirror
from tests.support import archive, real, repack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = [pytest.mark.mirror, pytest.mark.long]

PACKAGES = ("python3", "ca-certificates", "nodejs", "openjdk-17-jre-headless")
UPDATES = {
    "libssl3": ("libssl3",),
    "libc6": ("libc6",),
    # These depend on each other's exact version, so an archive updates them together.
    "python3.11-minimal": (
        "python3.11-minimal",
        "python3.11",
        "libpython3.11-minimal",
        "libpython3.11-stdlib",
    ),
    "openjdk-17-jre-headless": ("openjdk-17-jre-headless",),
}
ALLOWANCE = 300_000
MOST_LAYERS = 40


class Layers(NamedTuple):
    """The layers of an image: (title, size) by digest."""

    by_digest: dict[str, tuple[str, int]]

    def changed(self, layers_before: Layers) -> dict[str, tuple[str, int]]:
        return {key: value for key, value in self.by_digest.items() if key not in layers_before.by_digest}


class Baseline(NamedTuple):
    """The original archive, its packages, and the layers of its image."""

    folder: Path
    debs: dict[str, Path]
    layers: Layers


def build(home: Path, archive_folder: Path, recipe_folder: Path, policy: str = "auto") -> Layers:
    """Build an image of the packages from an archive and return its layers."""
    recipe_folder.mkdir(exist_ok=True)
    recipe = recipe_folder / "recipe.yaml"
    recipe.write_text(
        "name: example.com/updates\nversion: '1'\narchs: [amd64]\n"
        f"from: {{debian: bookworm, mirrors: ['file://{archive_folder}'], suites: [bookworm], "
        "keyrings: [key.asc]}\n"
        f"packages: [{', '.join(PACKAGES)}]\nlayers: {policy}\n"
    )
    (recipe_folder / "key.asc").write_bytes(archive.keyring())
    report = recipe_folder / "report.json"
    real.must(home, "build", recipe, "--report", report)
    document: dict[str, Any] = json.loads(report.read_bytes())["platforms"]["amd64"]
    return Layers({layer["digest"]: (layer["holds"], layer["size"]) for layer in document["layers"]})


@pytest.fixture(scope="module")
def old(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baseline]:
    folder = tmp_path_factory.mktemp("updates")
    recipe = real.recipe(folder / "real", PACKAGES, "archs: [amd64]")
    real.must(shared_home, "lock", recipe, "--bundle", folder / "bundle")
    debs = {path.name.partition("_")[0]: path for path in (folder / "bundle").rglob("*.deb")}
    mirror.publish(list(debs.values()), folder / "old")
    yield Baseline(folder, debs, build(shared_home, folder / "old", folder / "image"))
    shutil.rmtree(folder)


def total_layer_size(home: Path, baseline: Baseline, folder: Path, names: Sequence[str]) -> int:
    """Return the size of the layers of ``names`` in bytes if every package has a layer."""
    layers = build(home, folder / "new", folder / "each", policy="packages")
    sizes = {holds.partition("=")[0]: size for holds, size in layers.by_digest.values() if "=" in holds}
    return sum(sizes[name] for name in names)


@pytest.mark.parametrize("update", UPDATES)
def test_an_update_ships_little_more_than_the_updated_packages(
    update: str,
    old: Baseline,
    shared_home: Path,
    tmp_path: Path,
) -> None:
    names = UPDATES[update]
    newer_packages = {name: repack.newer(old.debs[name], tmp_path) for name in names}
    mirror.publish([*({**old.debs, **newer_packages}.values())], tmp_path / "new")
    layers = build(shared_home, tmp_path / "new", tmp_path / "image")
    changed_layers = layers.changed(old.layers)
    shipped_size = sum(size for _, size in changed_layers.values())
    changed_size = total_layer_size(shared_home, old, tmp_path, names)
    print(f"{update}: {shipped_size} bytes shipped, {changed_size} in layers of their own")
    shutil.rmtree(tmp_path / "new")
    assert shipped_size <= 1.2 * changed_size + ALLOWANCE, changed_layers
    assert len(layers.by_digest) <= MOST_LAYERS

    def is_concerned(holds: str) -> bool:
        held = holds.partition("=")[0] if "=" in holds else holds.partition(": ")[2]
        return holds == "state" or not set(held.split(", ")).isdisjoint(names)

    assert [holds for holds, _ in changed_layers.values() if not is_concerned(holds)] == []
    removed_layers = old.layers.changed(layers)
    assert [holds for holds, _ in removed_layers.values() if not is_concerned(holds)] == []
