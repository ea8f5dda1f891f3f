"""Archives that podman loads under their full name, and archives of podman and skopeo that are read."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.image.transports import docker_load
from tests.support import handmade, locations
from tests.support.peers import need
from tests.support.podman import private_podman

NAME = "registry.example/team/hello"
SMALL = handmade.image(handmade.small())


@pytest.fixture
def podman() -> Iterator[list[str]]:
    with private_podman() as command:
        yield command


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
@pytest.mark.parametrize("tag", ["", f":{NAME}:1.0"])
def test_podman_loads_archives_under_their_full_name(
    podman: list[str], tmp_path: Path, kind: str, tag: str
) -> None:
    where = f"{kind}:{tmp_path}/a.tar{tag}"
    locations.write(SMALL, where, name=NAME, version="1.0")
    run(*podman, "load", "--quiet", "--input", str(tmp_path / "a.tar"))
    (image,) = json.loads(run(*podman, "images", "--format", "json"))
    assert image["Names"] == [f"{NAME}:1.0"]


def test_archives_written_by_podman_are_read(podman: list[str], tmp_path: Path) -> None:
    locations.write(SMALL, f"oci-archive:{tmp_path}/x.tar", name=NAME, version="1.0")
    run(*podman, "load", "--quiet", "--input", str(tmp_path / "x.tar"))
    run(*podman, "save", "--quiet", "--output", str(tmp_path / "a.tar"), f"{NAME}:1.0")
    image = docker_load.read_archive(tmp_path / "a.tar")
    assert [layer.diff_id for layer in image.layers()] == [layer.diff_id for layer in SMALL.layers()]
    locations.write(image, f"oci:{tmp_path}/y", version="1.0")


def test_archives_written_by_skopeo_are_read(tmp_path: Path) -> None:
    locations.write(SMALL, f"oci:{tmp_path}/x", name=NAME, version="1.0")
    run(need("skopeo"), "copy", f"oci:{tmp_path}/x:1.0", f"docker-archive:{tmp_path}/a.tar:{NAME}:2.0")
    image = docker_load.read_archive(tmp_path / "a.tar", f"{NAME}:2.0")
    assert [layer.diff_id for layer in image.layers()] == [layer.diff_id for layer in SMALL.layers()]
