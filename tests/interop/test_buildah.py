"""buildah starts containers from our images."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support import specimens
from tests.support.specimens import COMPRESSIONS, HELLO, run_quietly, write_specimen

pytestmark = pytest.mark.peer("buildah")


class Buildah:
    """buildah with a private storage, which needs no overlay and is removed."""

    def __init__(self, folder: Path) -> None:
        self._storage = (f"--root={folder}/root", f"--runroot={folder}/run", "--storage-driver=vfs")

    def __call__(self, *arguments: str) -> str:
        return run_quietly("buildah", *self._storage, *arguments).strip()


@pytest.fixture
def buildah(tmp_path: Path) -> Buildah:
    if os.geteuid() != 0:
        pytest.skip("buildah is driven as root only")
    return Buildah(tmp_path / "storage")


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive"])
def test_a_container_starts_from_every_kind_of_place(
    tmp_path: Path, buildah: Buildah, kind: str, name: str
) -> None:
    if (kind, name) == ("docker-archive", "zstd"):
        name = "plain"  # uncompressed in a Docker archive
    location = write_specimen(specimens.handmade_image(name), f"{kind}:{tmp_path}/image")
    if kind == "docker-archive":
        location = location.removesuffix(f":{specimens.TAG}")
    container = buildah("from", location)
    root = Path(buildah("mount", container))
    assert (root / "app/greeting").read_text() == HELLO
    assert not (root / "etc/gone").exists()
    assert (root / "bin/su").stat().st_mode & 0o7777 == 0o4755
    inspection = json.loads(buildah("inspect", container))
    assert inspection["OCIv1"]["config"]["User"] == "65532:65532"
    buildah("rm", container)


@pytest.mark.mirror
@pytest.mark.parametrize("name", ["busybox", "hello-python"])
def test_a_container_starts_from_a_built_example(
    tmp_path: Path, buildah: Buildah, shared_home: Path, name: str
) -> None:
    container = buildah("from", specimens.build_example(name, tmp_path, shared_home))
    assert (Path(buildah("mount", container)) / "etc/os-release").exists()
    buildah("rm", container)
