"""The command ``pumice images``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.digest import hex_of
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_empty_store_lists_no_images(world: World) -> None:
    pumice_run = world.run("images")
    assert (pumice_run.code, pumice_run.stdout) == (0, "NAME  DIGEST  PLATFORMS  CREATED  SIZE")
    assert world.run("images", "--format", "json").stdout == "[]"


def test_images_are_listed_in_a_table(world: World) -> None:
    digest = world.build(environment={"SOURCE_DATE_EPOCH": "1700000000"})
    heads, line = world.run("images").stdout.splitlines()
    assert heads.split() == ["NAME", "DIGEST", "PLATFORMS", "CREATED", "SIZE"]
    assert line.split()[:4] == ["example.com/hello:1.0", digest[7:19], "linux/amd64", "2023-11-14"]


def test_images_are_listed_as_json(world: World) -> None:
    digest = world.build("--arch", "amd64", environment={"SOURCE_DATE_EPOCH": "1700000000"})
    (image,) = json.loads(world.run("images", "--format", "json").stdout)
    assert image.pop("size") > 1000
    assert image == {
        "name": "example.com/hello:1.0",
        "repository": "example.com/hello",
        "tag": "1.0",
        "id": digest[7:19],
        "digest": digest,
        "media_type": "application/vnd.oci.image.manifest.v1+json",
        "platforms": ["linux/amd64"],
        "created": "2023-11-14T22:13:20Z",
        "problem": None,
    }


def test_a_damaged_image_does_not_hide_the_others(world: World) -> None:
    digest = world.build()
    world.write(extra="description: other\n")
    recipe = world.project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace('"1.0"', '"2.0"'))
    world.build()
    (world.root / "store" / "blobs" / "sha256" / hex_of(digest)).unlink()
    first, second = world.run("images").stdout.splitlines()[1:]
    assert "damaged: build it again" in first
    assert "linux/amd64" in second
    damaged_image, sound_image = json.loads(world.run("images", "--format", "json").stdout)
    assert damaged_image["problem"]
    assert sound_image["problem"] is None


def test_an_unknown_format_is_reported(world: World) -> None:
    pumice_run = world.run("images", "--format", "yaml")
    assert pumice_run.code == 2
    assert (
        pumice_run.stderr == "error: --format cannot be 'yaml'\n  hint: use one of table, json, or a template"
    )


def test_a_name_selects_images(world: World) -> None:
    world.build()
    for name in ("example.com/hello", "example.com/hello:1.0"):
        pumice_run = world.run("images", name, "--format", "{{.Repository}} {{.Tag}}")
        assert pumice_run.stdout == "example.com/hello 1.0"
    pumice_run = world.run("ls", "example.com/other")
    assert (pumice_run.code, pumice_run.stdout) == (10, "")
    assert pumice_run.stderr == (
        "error: there is no image 'example.com/other' in the store\n"
        "  hint: list all with 'pumice images', or the tags of a repository with 'pumice tags HOST/NAME'"
    )
