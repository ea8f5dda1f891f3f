"""The command ``pumice gc`` after builds of a small distribution."""

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
def test_by_default_the_cache_is_kept(world: World) -> None:
    world.build()
    size_before = size(world)
    pumice_run = world.run("gc")
    assert (pumice_run.code, pumice_run.stdout) == (0, "freed 0 B: 0 blobs and 0 records")
    assert pumice_run.stderr.endswith("of cache kept; use --all to delete it too")
    assert size(world) == size_before


def test_all_keeps_only_what_the_images_need(world: World) -> None:
    digest = world.build()
    promised = world.run("gc", "--all", "--dry-run")
    assert promised.stdout.startswith("would free ")
    size_before = size(world)
    pumice_run = world.run("gc", "--all")
    assert pumice_run.stdout == promised.stdout.replace("would free", "freed")
    assert size(world) < size_before
    assert world.run("files", "example.com/hello:1.0").code == 0
    assert world.run("store", "verify").code == 0
    assert world.build() == digest


def test_a_removed_image_is_deleted_with_its_artifacts(world: World) -> None:
    world.build()
    world.run("rm", "example.com/hello:1.0")
    world.run("gc", "--keep-cache", "0")
    assert list((world.root / "store" / "blobs" / "sha256").iterdir()) == []
    assert list((world.root / "store" / "composed").iterdir()) == []


def test_collection_keeps_blobs_that_another_image_shares(world: World) -> None:
    world.build()
    world.write(name="other.yaml", extra="description: another\n")
    other_recipe = (world.project / "other.yaml").read_text().replace('version: "1.0"', 'version: "2.0"')
    (world.project / "other.yaml").write_text(other_recipe)
    assert world.run("build", "other.yaml").code == 0
    world.run("rm", "example.com/hello:1.0")
    assert world.run("gc", "--all").code == 0
    assert world.run("store", "verify").code == 0
    assert world.run("files", "example.com/hello:2.0").code == 0


def test_unpacked_root_file_systems_are_deleted_with_their_images(world: World) -> None:
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
def test_gc_waits_for_processes_that_use_the_store(world: World) -> None:
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


def test_gc_stops_at_a_damaged_reference_which_can_be_removed(world: World) -> None:
    world.build()
    (path,) = (world.root / "store" / "refs").iterdir()
    path.write_bytes(b"spoiled")
    pumice_run = world.run("gc", "--all")
    assert pumice_run.code == 9
    assert pumice_run.stderr == (
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
        (("--all", "--keep-cache", "3"), "cannot use --keep-cache with --all"),
        (("everything",), "'everything' is an unexpected argument"),
    ],
)
def test_gc_reports_invalid_arguments(world: World, arguments: tuple[str, ...], sentence: str) -> None:
    pumice_run = world.run("gc", *arguments)
    assert pumice_run.code == 2
    assert sentence in pumice_run.stderr


def test_an_empty_store_has_nothing_to_free(world: World) -> None:
    assert world.run("gc", store="new").stdout == "freed 0 B: 0 blobs and 0 records"
