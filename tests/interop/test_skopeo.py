"""skopeo reads our images and Pumice reads those of skopeo, with equal digests."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.image.model import Image, list_blobs
from pumice.image.transports import layout, layout_archive
from tests.support import handmade, specimens
from tests.support.handmade import AMD64, ARM64, ImageContents, file
from tests.support.specimens import COMPRESSIONS, HELLO, run_quietly, write_specimen

pytestmark = pytest.mark.peer("skopeo")


def skopeo(*arguments: str) -> str:
    return run_quietly("skopeo", "--insecure-policy", *arguments)


@pytest.mark.parametrize("name", COMPRESSIONS)
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_inspect_finds_the_same_digest_config_and_layers(tmp_path: Path, kind: str, name: str) -> None:
    image = specimens.handmade_image(name)
    location = write_specimen(image, f"{kind}:{tmp_path}/image")
    inspection = json.loads(skopeo("inspect", location))
    assert inspection["Digest"] == image.root.digest
    assert inspection["Layers"] == [layer.descriptor.digest for layer in image.layers()]
    assert (inspection["Architecture"], inspection["Os"]) == ("amd64", "linux")
    config = json.loads(skopeo("inspect", "--config", location))
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in image.layers()]


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
@pytest.mark.parametrize("name", COMPRESSIONS[:2])
def test_copies_keep_the_digest_both_ways(tmp_path: Path, kind: str, name: str) -> None:
    image = specimens.handmade_image(name)
    skopeo("copy", write_specimen(image, f"{kind}:{tmp_path}/ours"), f"{kind}:{tmp_path}/theirs:copied")
    path = tmp_path / "theirs"
    theirs = (
        layout.read_layout(path, "copied") if kind == "oci" else layout_archive.read_archive(path, "copied")
    )
    assert theirs.root.digest == image.root.digest
    assert _content(theirs) == HELLO


def test_an_index_is_copied_with_all_its_platforms(tmp_path: Path) -> None:
    image = handmade.index({AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])})
    skopeo("copy", "--all", write_specimen(image, f"oci:{tmp_path}/ours"), f"oci:{tmp_path}/theirs:copied")
    theirs = layout.read_layout(tmp_path / "theirs")
    assert theirs.root.digest == image.root.digest
    assert len(list_blobs(theirs)) == len(list_blobs(image))


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_a_docker_archive_is_read(tmp_path: Path, name: str) -> None:
    image = specimens.handmade_image(name)
    write_specimen(image, f"docker-archive:{tmp_path}/image")
    location = f"docker-archive:{tmp_path}/image:example.com/specimen:1.0"
    config = json.loads(skopeo("inspect", "--config", location))
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in image.layers()]
    skopeo("copy", location, f"oci:{tmp_path}/theirs:copied")
    assert _content(layout.read_layout(tmp_path / "theirs")) == HELLO


@pytest.mark.mirror
@pytest.mark.parametrize("name", ["busybox", "static"])
def test_a_built_example_is_copied_unchanged(tmp_path: Path, shared_home: Path, name: str) -> None:
    location = specimens.build_example(name, tmp_path, shared_home)
    inspection = json.loads(skopeo("inspect", location))
    skopeo("copy", location, f"oci:{tmp_path}/theirs:copied")
    assert layout.read_layout(tmp_path / "theirs").root.digest == inspection["Digest"]


def _content(image: Image) -> str:
    last = image.layers()[-1]
    return next(body.read().decode() for entry, body in last.entries() if entry.path == "app/greeting")
