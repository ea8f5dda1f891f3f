"""What a layout's index.json says: which image is meant, and how it is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice import digest
from pumice.errors import ImageError
from pumice.formats import oci
from pumice.image.model import Image
from pumice.image.transports import docker_archive, layout, layout_archive, layout_index, layout_writer
from tests.support import handmade, locations
from tests.support.handmade import AMD64, ARM64, ImageContents, file

TWO = handmade.index({AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])})
ATTESTATION = {"architecture": "unknown", "os": "unknown"}


def entries() -> list[dict[str, Any]]:
    descriptors: list[dict[str, Any]] = json.loads(TWO.document(TWO.root))["manifests"]
    return descriptors


def laid_out(folder: Path, descriptors: list[dict[str, Any]]) -> bytes:
    """Write a layout of `TWO` whose index.json lists ``listed``; return that file."""
    locations.write(TWO, f"oci:{folder}", version="1.0")
    data = json.dumps({"schemaVersion": 2, "manifests": descriptors}, indent=2).encode()
    (folder / "index.json").write_bytes(data)
    return data


def with_tag(entry: dict[str, Any], tag: str) -> dict[str, Any]:
    return entry | {"annotations": {oci.REF_NAME: tag}}


def test_index_json_may_be_the_image_itself(tmp_path: Path) -> None:
    data = laid_out(tmp_path / "x", entries())
    image = layout.read_layout(tmp_path / "x")
    assert image.root.digest == digest.of(data)
    assert image.platforms() == (AMD64, ARM64)
    locations.write(image, f"oci-archive:{tmp_path}/copy.tar:2")
    copied = layout_archive.read_archive(tmp_path / "copy.tar")
    assert copied.root.digest == digest.of(data)
    assert copied.document(copied.root) == data


def test_attestations_in_it_belong_to_the_image(tmp_path: Path) -> None:
    amd = entries()[0]
    attestation = amd | {
        "platform": ATTESTATION,
        "annotations": {"vnd.docker.reference.digest": amd["digest"]},
    }
    laid_out(tmp_path / "x", [amd, attestation])
    assert layout.read_layout(tmp_path / "x").platforms() == (AMD64,)


def test_all_entries_of_one_tag_are_one_image(tmp_path: Path) -> None:
    amd, arm = entries()
    laid_out(tmp_path / "x", [with_tag(amd, "1"), with_tag(arm, "1"), with_tag(amd, "2")])
    assert layout.read_layout(tmp_path / "x", "1").platforms() == (AMD64, ARM64)
    assert layout.read_layout(tmp_path / "x", "2").root.digest == amd["digest"]
    with pytest.raises(ImageError, match="holds 3 images"):
        layout.read_layout(tmp_path / "x")


def test_images_of_one_platform_each_are_several(tmp_path: Path) -> None:
    amd, arm = entries()
    several = ([with_tag(amd, "1"), with_tag(arm, "2")], [amd, arm | {"platform": amd["platform"]}])
    for number, descriptors in enumerate(several):
        laid_out(tmp_path / str(number), descriptors)
        with pytest.raises(ImageError, match="holds 2 images"):
            layout.read_layout(tmp_path / str(number))


def test_nothing_can_be_attached_to_index_json(tmp_path: Path) -> None:
    laid_out(tmp_path / "x", entries())
    image = layout.read_layout(tmp_path / "x")
    with pytest.raises(ImageError, match="own index"):
        layout_writer.attach_referrers(tmp_path / "x", image, (), image.blobs)


@pytest.mark.parametrize(
    ("name", "tag", "full_name"),
    [
        ("example.com/hello", "1.0", "example.com/hello:1.0"),
        ("hello", "1.0", "hello:1.0"),
        ("registry.example:5000/a/b_c/d--e", "v1", "registry.example:5000/a/b_c/d--e:v1"),
        ("x", "example.com/a:2", "example.com/a:2"),
        ("x", "example.com/a", "example.com/a:latest"),
        ("", "1.0", None),
        ("example.com/hello", "1.0+deb", None),
        ("example.com/Hello", "1.0", None),
        ("example.com/a..b", "1.0", None),
        ("example.com:port/a", "1.0", None),
    ],
)
def test_an_image_is_named_in_full_where_that_is_possible(
    tmp_path: Path, name: str, tag: str, full_name: str | None
) -> None:
    for kind in ("oci", "oci-archive"):
        where = f"{kind}:{tmp_path}/{kind}:{tag}"
        locations.write(TWO, where, name=name)
    for image in (
        layout.read_layout(tmp_path / "oci"),
        layout_archive.read_archive(tmp_path / "oci-archive"),
    ):
        assert image.root.annotations.get(oci.FULL_NAME) == full_name
        assert image.root.annotations[oci.REF_NAME] == tag
        if full_name:
            assert ":".join(layout_index.read_name(image.root)[:1]) == full_name.rpartition(":")[0]
            assert layout.read_layout(tmp_path / "oci", full_name).root.digest == TWO.root.digest


@given(st.text("aB0._-/:", max_size=12), st.text("aB0._-+", max_size=6))
def test_full_names_are_names_for_docker(name: str, tag: str) -> None:
    full_name = layout_index.name_annotations(name, tag).get(oci.FULL_NAME)
    if full_name is not None:
        assert docker_archive.image_name(name, tag) == full_name


def test_artifacts_keep_their_names(tmp_path: Path) -> None:
    image: Image = handmade.image(ImageContents([[file("a")]]))
    locations.write(image, f"oci:{tmp_path}/x", name="example.com/a", version="1")
    (entry,) = json.loads((tmp_path / "x" / "index.json").read_bytes())["manifests"]
    assert entry["annotations"] == {oci.FULL_NAME: "example.com/a:1", oci.REF_NAME: "1"}
