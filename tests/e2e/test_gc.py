"""``pumice gc``, after real builds of a small distribution."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pumice.store.home import Home
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def size(world: World) -> int:
    """Return the bytes of all blobs and records."""
    folders = [world.root / "store" / name for name in ("blobs", "composed", "records")]
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.mark.file_times
def test_by_default_the_cache_stays(world: World) -> None:
    world.build()
    before = size(world)
    outcome = world.run("gc")
    assert (outcome.code, outcome.stdout) == (0, "freed 0 B: 0 blobs and 0 records")
    assert outcome.stderr.endswith("of cache kept; use --all to delete it too")
    assert size(world) == before


def test_all_leaves_the_images_and_nothing_else(world: World) -> None:
    digest = world.build()
    promised = world.run("gc", "--all", "--dry-run")
    assert promised.stdout.startswith("would free ")
    before = size(world)
    outcome = world.run("gc", "--all")
    assert outcome.stdout == promised.stdout.replace("would free", "freed")
    assert size(world) < before
    assert world.run("files", "example.com/hello:1.0").code == 0
    assert world.run("store", "verify").code == 0
    assert world.build() == digest


def test_a_removed_image_goes_with_all_it_had(world: World) -> None:
    world.build()
    world.run("rm", "example.com/hello:1.0")
    world.run("gc", "--keep-cache", "0")
    assert list((world.root / "store" / "blobs" / "sha256").iterdir()) == []
    assert list((world.root / "store" / "composed").iterdir()) == []


def test_collection_keeps_blobs_that_another_image_shares(world: World) -> None:
    world.build()
    world.write(name="other.yaml", extra="description: another\n")
    other = (world.project / "other.yaml").read_text().replace('version: "1.0"', 'version: "2.0"')
    (world.project / "other.yaml").write_text(other)
    assert world.run("build", "other.yaml").code == 0
    world.run("rm", "example.com/hello:1.0")
    assert world.run("gc", "--all").code == 0
    assert world.run("store", "verify").code == 0
    assert world.run("files", "example.com/hello:2.0").code == 0


def test_prepared_trees_go_with_their_images(world: World) -> None:
    digest = world.build()
    trees = world.root / "store" / "trees"
    (trees / digest[7:]).mkdir(parents=True)
    (trees / ("0" * 64) / "root").mkdir(parents=True)
    world.run("gc")
    assert [path.name for path in trees.iterdir()] == [digest[7:]]
    world.run("rm", "example.com/hello:1.0")
    world.run("gc", "--all")
    assert list(trees.iterdir()) == []


@pytest.mark.concurrency
def test_it_waits_for_who_uses_the_store(world: World) -> None:
    world.build()
    user = Home(world.root / "store")
    assert user.refs.names()
    process = subprocess.Popen(
        [sys.executable, "-m", "pumice", "gc"],
        env={"PUMICE_HOME": str(world.root / "store")},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "waiting for other pumice commands to finish" in process.stderr.readline()
    user.close()
    assert process.communicate()[0].startswith("freed ")
    assert process.returncode == 0


def test_a_damaged_reference_stops_it_and_can_be_removed(world: World) -> None:
    world.build()
    (path,) = (world.root / "store" / "refs").iterdir()
    path.write_bytes(b"spoiled")
    outcome = world.run("gc", "--all")
    assert outcome.code == 9
    assert outcome.stderr == (
        f"error: {path}: the store's reference example.com/hello:1.0 is damaged\n"
        "  hint: remove it with 'pumice rm example.com/hello:1.0'"
    )
    assert world.run("rm", "example.com/hello:1.0").code == 0
    assert world.run("gc").code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--keep-cache", "soon"), "--keep-cache needs a number, not 'soon'"),
        (("--keep-cache", "-1"), "--keep-cache"),
        (("--keep-cache", "9" * 5000), "--keep-cache needs a number"),
        (("--all", "--keep-cache", "3"), "not allowed with"),
        (("everything",), "'everything' is an unexpected argument"),
    ],
)
def test_mistakes(world: World, arguments: tuple[str, ...], sentence: str) -> None:
    outcome = world.run("gc", *arguments)
    assert outcome.code == 2
    assert sentence in outcome.stderr


def test_an_empty_store_has_nothing_to_free(world: World) -> None:
    assert world.run("gc", store="new").stdout == "freed 0 B: 0 blobs and 0 records"
