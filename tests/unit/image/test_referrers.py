"""Evidence on its way through layouts: found again, whatever form it is in, and never trusted blindly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError
from pumice.formats import oci
from pumice.image import referrers
from pumice.image.model import Image
from pumice.image.transports import layout, layout_archive
from pumice.store.home import Home
from tests.support import images, locations
from tests.support.handmade import MemoryBlobs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def image(tmp_path: Path) -> Image:
    home = Home(tmp_path / "store")
    new_image = images.make(home, [{"a": "a"}])
    sbom = referrers.put_artifact(
        new_image.root, b"sbom", "application/x-sbom", home.blobs, annotations={"k": "v"}
    )
    signature = referrers.put_artifact(sbom, b"sig", "application/x-sig", home.blobs, annotations={})
    home.referrers.add(new_image.root.digest, [sbom])
    home.referrers.add(sbom.digest, [signature])
    return Image(new_image.root, home.blobs, home.referrers.get)


@pytest.mark.parametrize("referrers_in_index", [False, True])
@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_they_come_back_from_every_layout(
    image: Image, tmp_path: Path, kind: str, referrers_in_index: bool
) -> None:
    layout_folder = tmp_path / "image"
    locations.write(image, f"{kind}:{layout_folder}:1", referrers_in_index=referrers_in_index)
    back = layout.read_layout(layout_folder) if kind == "oci" else layout_archive.read_archive(layout_folder)
    assert back.root.digest == image.root.digest
    assert referrers.gather_referrers(back) == referrers.gather_referrers(image)
    (sbom,) = back.referrers()
    assert referrers.read_artifact_blob(back, sbom, 100) == b"sbom"
    with pytest.raises(PumiceError, match="larger than"):
        referrers.read_artifact_blob(back, sbom, 3)


def test_a_layout_has_one_descriptor_unless_asked(image: Image, tmp_path: Path) -> None:
    layouts = {}
    for referrers_in_index in (False, True):
        content = layout.layout_content(image, "1", referrers_in_index=referrers_in_index)
        layouts[referrers_in_index] = json.loads(content.index)["manifests"]
    assert [len(layouts[False]), len(layouts[True])] == [1, 3]
    assert oci.REFERRERS not in layouts[True][0]["annotations"]


def test_a_loop_ends_in_an_error() -> None:
    descriptor = oci.Descriptor(oci.MANIFEST, "sha256:" + "0" * 64, 2)

    class Nothing(Image):
        def referrers(self, about: str = "") -> tuple[oci.Descriptor, ...]:
            number = int(about[7:], 16) + 1
            return (oci.Descriptor(oci.MANIFEST, f"sha256:{number:064x}", 2),)

        def walk(self) -> Iterator[tuple[oci.Descriptor, bytes]]:
            yield descriptor, b""

        def document(self, descriptor: oci.Descriptor) -> bytes:
            return oci.encode_document(oci.make_manifest(oci.EMPTY_CONFIG, ()))

    with pytest.raises(PumiceError, match="nested too deep"):
        referrers.gather_referrers(Nothing(descriptor, MemoryBlobs()))


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_list_is_read_or_an_error(data: bytes) -> None:
    descriptor = oci.make_descriptor(data, oci.INDEX)
    root = oci.Descriptor(oci.MANIFEST, "sha256:" + "0" * 64, 2, {oci.REFERRERS: descriptor.digest})
    blobs = referrers.OverlaidBlobs([data], MemoryBlobs())
    try:
        referrers.LayoutReferrers(root, (), blobs)("sha256:" + "0" * 64)
    except PumiceError:
        pass
