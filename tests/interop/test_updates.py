"""What an update of a real package ships again: that package and the state, and little else.

*Changed bytes* are the packages' own compressed layers, as ``layers: packages`` makes them: what
would have to travel if every package were a layer. The ``.deb`` itself is xz, which is smaller, and
has documentation that images leave out; how it compares is recorded beside it.
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

pytestmark = pytest.mark.mirror

PACKAGES = ("python3", "ca-certificates", "nodejs", "openjdk-17-jre-headless")
UPDATES = {
    "libssl3": ("libssl3",),
    "libc6": ("libc6",),
    # These depend on each other's exact version, so an archive never has one of them newer alone.
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
    """Of an image: layer digest to (what it holds, size)."""

    by_digest: dict[str, tuple[str, int]]

    def changed(self, before: Layers) -> dict[str, tuple[str, int]]:
        return {key: value for key, value in self.by_digest.items() if key not in before.by_digest}


class Old(NamedTuple):
    """The archive as it is, and the image of it."""

    folder: Path
    debs: dict[str, Path]
    layers: Layers


def build(home: Path, archive_folder: Path, recipe_folder: Path, policy: str = "auto") -> Layers:
    """Build the set from an archive of its own and return the layers."""
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
def old(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    folder = tmp_path_factory.mktemp("updates")
    recipe = real.recipe(folder / "real", PACKAGES, "archs: [amd64]")
    real.must(shared_home, "lock", recipe, "--bundle", folder / "bundle")
    debs = {path.name.partition("_")[0]: path for path in (folder / "bundle").rglob("*.deb")}
    mirror.publish(list(debs.values()), folder / "old")
    yield Old(folder, debs, build(shared_home, folder / "old", folder / "image"))
    shutil.rmtree(folder)


def own_layers(home: Path, old: Old, folder: Path, names: Sequence[str]) -> int:
    """Return the bytes of the layers that ``names`` have when every package has one."""
    layers = build(home, folder / "new", folder / "each", policy="packages")
    sizes = {holds.partition("=")[0]: size for holds, size in layers.by_digest.values() if "=" in holds}
    return sum(sizes[name] for name in names)


@pytest.mark.parametrize("update", UPDATES)
def test_an_update_ships_little_else(
    update: str,
    old: Old,
    shared_home: Path,
    tmp_path: Path,
) -> None:
    names = UPDATES[update]
    newer = {name: repack.newer(old.debs[name], tmp_path) for name in names}
    mirror.publish([*({**old.debs, **newer}.values())], tmp_path / "new")
    layers = build(shared_home, tmp_path / "new", tmp_path / "image")
    again = layers.changed(old.layers)
    shipped = sum(size for _, size in again.values())
    changed = own_layers(shared_home, old, tmp_path, names)
    packed = sum(path.stat().st_size for path in newer.values())
    print(f"{update}: {shipped} bytes shipped, {changed} in layers of their own, {packed} as .deb")
    shutil.rmtree(tmp_path / "new")
    assert shipped <= 1.2 * changed + ALLOWANCE, again
    assert len(layers.by_digest) <= MOST_LAYERS

    def is_concerned(holds: str) -> bool:
        held = holds.partition("=")[0] if "=" in holds else holds.partition(": ")[2]
        return holds == "state" or not set(held.split(", ")).isdisjoint(names)

    assert [holds for holds, _ in again.values() if not is_concerned(holds)] == []
    gone = old.layers.changed(layers)
    assert [holds for holds, _ in gone.values() if not is_concerned(holds)] == []
