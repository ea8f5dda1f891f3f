"""Tools that know nothing of our annotation read a layout with evidence as they read any other.

A layout has its one image in ``index.json``, and an annotation that leads to what is about it; with
``--referrers-in-index`` all is listed there, and tools must be told which of it is meant.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import registry
from tests.support.peers import need
from tests.support.specimens import run_quietly
from tests.support.world import World

FORMS = ["image", "listed"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    new_world = World(tmp_path_factory.mktemp("world"))
    new_world.build("-o", "oci:image:v1", "-o", "oci-archive:image.tar:v1")
    new_world.build("-o", "oci:listed:v1", "-o", "oci-archive:listed.tar:v1", "--referrers-in-index")
    return new_world


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry.debian(tmp_path_factory.mktemp("registry")) as address:
        yield address


def root(layout: Path) -> str:
    digest: str = json.loads((layout / "index.json").read_bytes())["manifests"][0]["digest"]
    return digest


def refused(*command: str) -> str:
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode != 0
    return process.stderr


@pytest.mark.peer("skopeo")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("location", ["oci:{}/{}:v1", "oci-archive:{}/{}.tar:v1"])
def test_skopeo_copies_the_image(world: World, tmp_path: Path, location: str, form: str) -> None:
    run_quietly(need("skopeo"), "copy", location.format(world.project, form), f"oci:{tmp_path}/copy:x")
    assert root(tmp_path / "copy") == root(world.project / form)


@pytest.mark.peer("skopeo")
def test_skopeo_needs_no_tag_if_the_layout_has_one_image(world: World) -> None:
    run_quietly(need("skopeo"), "inspect", f"oci:{world.project}/image")
    assert "more than one image" in refused("skopeo", "inspect", f"oci:{world.project}/listed")


@pytest.mark.peer("umoci")
@pytest.mark.parametrize("form", FORMS)
def test_umoci_lists_one_tag_and_keeps_the_evidence(world: World, tmp_path: Path, form: str) -> None:
    folder = tmp_path / form
    run_quietly("cp", "-r", str(world.project / form), str(folder))
    assert run_quietly(need("umoci"), "ls", "--layout", str(folder)).split() == ["v1"]
    run_quietly("umoci", "stat", "--image", f"{folder}:v1")
    run_quietly("umoci", "gc", "--layout", str(folder))
    if (
        form == "listed"
    ):  # for tools that do not know the annotation, blobs that only it refers to are garbage
        assert world.run("sbom", f"oci:{folder}").code == 0


@pytest.mark.peer("buildah")
@pytest.mark.parametrize("form", FORMS)
def test_buildah_pulls_a_layout_with_evidence(world: World, tmp_path: Path, form: str) -> None:
    need("buildah")
    roots = ("--root", str(tmp_path / "root"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs")
    run_quietly("buildah", *roots, "pull", "--quiet", f"oci:{world.project}/{form}:v1")


@pytest.mark.peer("crane")
def test_crane_pushes_the_image(world: World, host: str) -> None:
    crane = need("crane")
    reference = f"{host}/crane/image:v1"
    run_quietly(crane, "push", "--insecure", str(world.project / "image"), reference, accepted_text="pushed")
    assert run_quietly(crane, "digest", "--insecure", reference).strip() == root(world.project / "image")
    run_quietly(crane, "validate", "--insecure", "--remote", reference)


@pytest.mark.peer("crane")
def test_crane_pushes_all_that_is_listed_as_an_index(world: World, host: str) -> None:
    crane = need("crane")
    reference = f"{host}/crane/listed:v1"
    assert "--index" in refused(crane, "push", "--insecure", str(world.project / "listed"), reference)
    run_quietly(
        crane,
        "push",
        "--insecure",
        "--index",
        str(world.project / "listed"),
        reference,
        accepted_text="pushed",
    )
    pushed = json.loads(run_quietly(crane, "manifest", "--insecure", reference))
    assert pushed["manifests"][0]["digest"] == root(world.project / "listed")
    assert len(pushed["manifests"]) == 4


@pytest.mark.peer("syft")
@pytest.mark.parametrize("location", ["oci-dir:{}/image", "oci-archive:{}/image.tar"])
def test_syft_scans_a_layout_with_evidence(world: World, tmp_path: Path, location: str) -> None:
    process = subprocess.run(
        [need("syft"), "scan", location.format(world.project), "-o", "syft-json", "-q"],
        env={"HOME": str(tmp_path), "SYFT_CHECK_FOR_APP_UPDATE": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert {artifact["name"] for artifact in json.loads(process.stdout)["artifacts"]} == {"hello", "libhello"}
