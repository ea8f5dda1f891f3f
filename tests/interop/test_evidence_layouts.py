"""Tools that know nothing of our annotation read a layout with evidence as they read any other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.peers import need
from tests.support.specimens import quiet
from tests.support.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.build("-o", "oci:image:v1", "-o", "oci-archive:image.tar:v1")
    return made


@pytest.mark.peer("skopeo")
@pytest.mark.parametrize("place", ["oci:{}/image:v1", "oci:{}/image", "oci-archive:{}/image.tar:v1"])
def test_skopeo_finds_one_image(world: World, tmp_path: Path, place: str) -> None:
    need("skopeo")
    quiet("skopeo", "copy", place.format(world.project), f"oci:{tmp_path}/copy:x")
    theirs, ours = (
        json.loads((folder / "index.json").read_bytes())["manifests"][0]["digest"]
        for folder in (tmp_path / "copy", world.project / "image")
    )
    assert theirs == ours


@pytest.mark.peer("umoci")
def test_umoci_lists_and_leaves_the_evidence_alone(world: World) -> None:
    need("umoci")
    quiet("umoci", "stat", "--image", f"{world.project}/image:v1")
    quiet("umoci", "gc", "--layout", f"{world.project}/image")


@pytest.mark.peer("buildah")
def test_buildah_reads_it(world: World, tmp_path: Path) -> None:
    need("buildah")
    roots = ("--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs")
    quiet("buildah", *roots, "pull", "--quiet", f"oci:{world.project}/image:v1")
