from __future__ import annotations

import gzip
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice import digest
from pumice.errors import FormatError, ImageError, PumiceError, TrustError
from pumice.formats import oci
from pumice.image.model import Image, list_blobs
from tests.support import handmade
from tests.support.handmade import AMD64, ARM64, ImageContents, MemoryBlobs, file


def test_an_image_of_one_platform_needs_no_choice() -> None:
    image = handmade.image(handmade.small())
    assert image.platforms() == (AMD64,)
    assert image.config().config.user == "65532:65532"
    assert [layer.descriptor.media_type for layer in image.layers()] == [oci.LAYER_GZIP] * 2
    assert image.select(AMD64) is image


def test_of_an_index_one_platform_is_chosen() -> None:
    image = handmade.index({AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])})
    assert image.is_index()
    assert image.platforms() == (AMD64, ARM64)
    assert image.config(oci.Platform("arm64")).architecture == "arm64"
    with pytest.raises(ImageError, match="is for 2 platforms") as caught:
        image.select()
    assert caught.value.hint == "choose one with --platform: linux/amd64, linux/arm64/v8"
    with pytest.raises(ImageError, match="not for linux/s390x"):
        image.select(oci.Platform("s390x"))


def test_attestations_and_artifacts_are_no_platforms() -> None:
    blobs = MemoryBlobs()
    runnable = handmade.image(ImageContents([[file("a")]]), blobs).root
    empty = handmade.put(blobs, b"{}", oci.EMPTY)
    artifact = oci.encode_document(
        oci.Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            artifact_type="application/x",
            config=empty,
            layers=(empty,),
        )
    )
    unknown = msgspec.structs.replace(runnable, platform=oci.Platform("unknown", "unknown"))
    children = (handmade.put(blobs, artifact, oci.MANIFEST), unknown, runnable)
    # The same manifest under two descriptors counts once, under the first.
    image = Image(handmade.put(blobs, oci.encode_document(oci.make_index(children)), oci.INDEX), blobs)
    assert image.platforms() == ()
    with pytest.raises(ImageError, match="an artifact"):
        image.select()
    image = Image(
        handmade.put(blobs, oci.encode_document(oci.make_index((children[0], runnable))), oci.INDEX), blobs
    )
    assert image.platforms() == (AMD64,)
    assert image.select().root == runnable


def test_the_platforms_of_an_index_are_known_without_reading_their_manifests() -> None:
    image = handmade.index({AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])})
    blobs = image.blobs
    assert isinstance(blobs, MemoryBlobs)
    blobs.content = {image.root.digest: blobs.content[image.root.digest]}
    assert image.platforms() == (AMD64, ARM64)
    with pytest.raises(PumiceError, match="no blob"):
        list_blobs(image)


def test_contents_are_everything_once_and_the_root_first() -> None:
    shared = [file("same")]
    image = handmade.index({AMD64: ImageContents([shared, [file("amd")]]), ARM64: ImageContents([shared])})
    digests = [descriptor.digest for descriptor in list_blobs(image)]
    assert digests[0] == image.root.digest
    assert len(digests) == len(set(digests)) == 1 + 2 + 2 + 2
    blobs = image.blobs
    assert isinstance(blobs, MemoryBlobs)
    assert set(digests) == set(blobs.content)


def test_a_document_with_another_digest_is_refused() -> None:
    image = handmade.image(ImageContents([[file("a")]]))
    blobs = image.blobs
    assert isinstance(blobs, MemoryBlobs)
    blobs.content[image.root.digest] = blobs.content[image.root.digest].replace(b"2", b"3", 1)
    with pytest.raises(TrustError, match="does not match its digest"):
        image.manifest()


@pytest.mark.parametrize("change", [-1, 1])
def test_a_document_of_another_size_is_refused(change: int) -> None:
    image = handmade.image(ImageContents([[file("a")]]))
    root = msgspec.structs.replace(image.root, size=image.root.size + change)
    with pytest.raises(TrustError):
        Image(root, image.blobs).manifest()


def test_a_huge_document_is_not_even_read() -> None:
    with pytest.raises(FormatError, match="4 MiB"):
        Image(oci.Descriptor(oci.MANIFEST, "sha256:" + "0" * 64, 1 << 40), MemoryBlobs()).manifest()


def test_a_digest_cannot_be_a_path() -> None:
    with pytest.raises(FormatError, match="not a sha256 digest"):
        Image(oci.Descriptor(oci.MANIFEST, "sha256:../../etc/passwd", 10), MemoryBlobs()).manifest()


def test_indexes_nested_without_end_are_refused() -> None:
    blobs = MemoryBlobs()
    child = handmade.image(ImageContents([[file("a")]]), blobs).root
    for _ in range(8):
        child = handmade.put(blobs, oci.encode_document(oci.make_index((child,))), oci.INDEX)
    with pytest.raises(FormatError, match="nested too deep"):
        Image(child, blobs).platforms()


def test_layers_and_diff_ids_must_be_as_many() -> None:
    blobs = MemoryBlobs()
    image = handmade.image(ImageContents([[file("a")]]), blobs)
    manifest = msgspec.structs.replace(image.manifest(), layers=())
    with pytest.raises(FormatError, match=r"0 layers, but the config 1 diff ID$"):
        Image(handmade.put(blobs, oci.encode_document(manifest), oci.MANIFEST), blobs).layers()


@pytest.mark.parametrize("compression", ["gzip", "zstd", "plain"])
def test_layers_are_read_by_what_their_bytes_are(compression: str) -> None:
    image = handmade.image(ImageContents([[file("a", b"content")]], compression=compression))
    (layer,) = image.layers()
    assert [(entry.path, body.read()) for entry, body in layer.entries()] == [("a", b"content")]
    with layer.open() as stream:
        assert stream.compression == compression


def test_media_types_of_layers_may_lie() -> None:
    blobs = MemoryBlobs()
    image = handmade.image(ImageContents([[file("a", b"content")]], compression="zstd"), blobs)
    (layer,) = image.layers()
    lying = msgspec.structs.replace(layer.descriptor, media_type=oci.LAYER_GZIP)
    manifest = msgspec.structs.replace(image.manifest(), layers=(lying,))
    lie = Image(handmade.put(blobs, oci.encode_document(manifest), oci.MANIFEST), blobs)
    assert [entry.path for entry, _ in lie.layers()[0].entries()] == ["a"]


def _with_layer(data: bytes, diff_id: str) -> Image:
    blobs = MemoryBlobs()
    config = oci.ImageConfig(architecture="amd64", os="linux", rootfs=oci.RootFs("layers", (diff_id,)))
    layer = handmade.put(blobs, data, oci.LAYER_GZIP)
    manifest = oci.make_manifest(handmade.put(blobs, oci.encode_document(config), oci.CONFIG), (layer,))
    return Image(handmade.put(blobs, oci.encode_document(manifest), oci.MANIFEST), blobs)


def test_the_diff_id_is_always_checked() -> None:
    image = _with_layer(gzip.compress(handmade.archive([file("a")])), "sha256:" + "0" * 64)
    with pytest.raises(TrustError, match="does not match its diff ID"):
        list(image.layers()[0].entries())


def test_what_follows_the_end_mark_counts_for_the_diff_id() -> None:
    data = handmade.archive([file("a")])
    image = _with_layer(gzip.compress(data + b"x"), digest.of(data))
    with pytest.raises(TrustError):
        list(image.layers()[0].entries())


@pytest.mark.parametrize("tail", [b"garbage", bytes(100)])
def test_bytes_after_the_gzip_stream_are_refused(tail: bytes) -> None:
    data = handmade.archive([file("a")])
    with pytest.raises(FormatError):
        list(_with_layer(gzip.compress(data) + tail, digest.of(data)).layers()[0].entries())


def test_a_gzip_bomb_is_refused_in_bounded_memory() -> None:
    member = gzip.compress(bytes(64 << 20))
    with (
        pytest.raises(FormatError, match="expands to more than the allowed size"),
        _with_layer(member * 40, "sha256:" + "0" * 64).layers()[0].open() as stream,
    ):
        stream.finish()


@given(st.binary(max_size=400))
def test_any_layer_gives_entries_or_a_pumice_error(data: bytes) -> None:
    try:
        for _, body in _with_layer(data, digest.of(data)).layers()[0].entries():
            body.read()
    except PumiceError:
        pass


@given(st.integers(0, 2000), st.integers(0, 255))
def test_any_flipped_byte_of_a_layer_is_noticed(position: int, value: int) -> None:
    data = handmade.archive([file("a", b"content")])
    flipped = bytearray(data)
    flipped[position] = value
    try:
        list(_with_layer(gzip.compress(bytes(flipped)), digest.of(data)).layers()[0].entries())
    except (TrustError, FormatError):
        assert bytes(flipped) != data
    else:
        assert bytes(flipped) == data


@given(
    st.dictionaries(
        st.sampled_from(["config", "layers", "manifests", "mediaType", "annotations"]), st.none() | st.text()
    )
)
def test_any_manifest_gives_a_value_or_a_pumice_error(fields: dict[str, object]) -> None:
    blobs = MemoryBlobs()
    image = Image(
        handmade.put(blobs, json.dumps({"schemaVersion": 2} | fields).encode(), oci.MANIFEST), blobs
    )
    for look in (image.platforms, image.layers, image.config, lambda: list_blobs(image)):
        try:
            look()
        except PumiceError:
            pass
