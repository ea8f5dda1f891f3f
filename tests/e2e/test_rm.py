"""The command ``pumice rm``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support.store_workload import make_image
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    with Home(tmp_path / "store") as home:
        descriptor = make_image(home, [[b"one"]])
        home.refs.set("example.com/a:1", descriptor)
        home.refs.set("example.com/a:2", make_image(home, [[b"two"]]))
        home.refs.set("b:1", descriptor)
        assert descriptor.media_type == oci.MANIFEST
    return world


def names(world: World) -> list[str]:
    with Home(world.root / "store") as home:
        return home.refs.names()


def test_names_are_removed_and_printed(world: World) -> None:
    pumice_run = world.run("rm", "example.com/a:1", "b:1", "b:1")
    assert (pumice_run.code, pumice_run.stdout, pumice_run.stderr) == (0, "example.com/a:1\nb:1", "")
    assert names(world) == ["example.com/a:2"]


def test_a_name_without_version_removes_its_only_version(world: World) -> None:
    assert world.run("rm", "b").stdout == "b:1"
    pumice_run = world.run("rm", "example.com/a")
    assert pumice_run.code == 10
    assert pumice_run.stderr == (
        "error: there are 2 versions of example.com/a, so each must be named\n"
        "  hint: write example.com/a:1 example.com/a:2"
    )


@pytest.mark.parametrize("length", [7 + 64, 7 + 8])
@pytest.mark.parametrize("start", [0, 7])
def test_a_digest_removes_all_its_names(world: World, length: int, start: int) -> None:
    with Home(world.root / "store") as home:
        descriptor = home.refs.get("b:1")
    assert descriptor
    assert world.run("rm", descriptor.digest[start:length]).stdout == "b:1\nexample.com/a:1"
    assert names(world) == ["example.com/a:2"]


def test_nothing_is_removed_if_a_name_is_unknown(world: World) -> None:
    pumice_run = world.run("rm", "b:1", "c:1")
    assert pumice_run.code == 10
    assert pumice_run.stderr == "error: c:1 is not in the local store\n  hint: did you mean b:1?"
    assert len(names(world)) == 3


@pytest.mark.parametrize("reference", ["", "../../etc/passwd:1", "\x1b[2J:1", "sha256:", "a" * 5000, "é:1"])
def test_an_invalid_reference_is_reported(world: World, reference: str) -> None:
    pumice_run = world.run("rm", reference)
    assert pumice_run.code == 10
    assert "\x1b" not in pumice_run.stderr
    assert len(names(world)) == 3


def test_a_reference_is_required(world: World) -> None:
    assert world.run("rm").code == 2
