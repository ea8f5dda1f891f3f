from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from pumice import digest
from pumice.errors import ImageError, TrustError, UsageError
from pumice.formats import oci
from pumice.image.model import Image
from pumice.image.transports import layout
from pumice.progress import Silent
from pumice.publish import oci_tree
from pumice.publish.bucket_tree import BucketTree
from pumice.publish.oci_tree import PublishedImage
from pumice.publish.tree import ChangedError, Tree
from tests.support import handmade, signed_images
from tests.support.handmade import ImageContents, file
from tests.support.memory_tree import MemoryTree, find_missing
from tests.support.published import gather


class InterruptedTree(BucketTree):
    """A bucket in which something happens once, when a file has been read that this process will replace."""

    def __init__(self, store: MemoryStore, part: str, event: Callable[[], object]) -> None:
        super().__init__(store, "memory")
        self.part = part
        self.event = event

    def read(self, path: str) -> bytes | None:
        content = super().read(path)
        if self.part in path:
            self.part, event = "nothing more", self.event
            event()
        return content


def publish(tree: Tree, image: Image, name: str = "app", tag: str = "1.0") -> oci_tree.Written:
    return oci_tree.publish_images([PublishedImage(gather(image), name, tag)], tree, Silent())


def small(content: bytes = b"hello") -> Image:
    return handmade.image(ImageContents([[file("greeting", content)]]))


def signed(folder: Path, *numbers: int, content: bytes = b"hello") -> Image:
    signed_images.folder(folder, signed_images.image(content=content))
    return signed_images.sign_folder(folder, *numbers)


def test_a_published_image_is_complete_and_has_the_media_types_of_its_manifests() -> None:
    tree = MemoryTree()
    index = handmade.index({handmade.AMD64: handmade.small(), handmade.ARM64: handmade.small()})
    written = publish(tree, index)
    assert find_missing(tree) == []
    assert written.present == 0
    assert written.size == sum(size for path, size in tree.list_files().items() if "/blobs/" in path)
    assert tree.files["v2/app/manifests/1.0"] == (oci.INDEX, index.document(index.root))
    assert tree.files[f"v2/app/manifests/{index.root.digest}"][0] == oci.INDEX
    child = oci.read_index(index.document(index.root)).manifests[0]
    assert tree.files[f"v2/app/manifests/{child.digest}"][0] == oci.MANIFEST
    assert json.loads(tree.files["v2/app/tags/list"][1]) == {"name": "app", "tags": ["1.0"]}
    assert json.loads(tree.files["v2/_catalog"][1]) == {"repositories": ["app"]}
    assert tree.files[f"v2/app/referrers/{index.root.digest}"][0] == oci.INDEX


def test_publishing_again_writes_nothing() -> None:
    tree = MemoryTree()
    publish(tree, small())
    tree.log.clear()
    assert publish(tree, small()) == oci_tree.Written(0, 2, 0)
    assert tree.log == []


def test_a_new_version_writes_only_its_blobs_and_keeps_the_old_ones() -> None:
    tree = MemoryTree()
    old = small(b"old")
    publish(tree, old)
    before = dict(tree.files)
    tree.log.clear()
    publish(tree, small(b"new"))
    assert all(tree.files[path] == before[path] for path in before if ":" in path)
    tag = tree.log.index("v2/app/manifests/1.0")
    assert all("/tags/list" in path for path in tree.log[tag + 1 :])


def test_a_blob_of_another_repository_is_not_written_again() -> None:
    tree = MemoryTree()
    publish(tree, small())
    assert publish(tree, small(), "team/other").size == 0
    assert find_missing(tree) == []
    assert json.loads(tree.files["v2/_catalog"][1]) == {"repositories": ["app", "team/other"]}


def test_signatures_of_several_publishers_are_kept(tmp_path: Path) -> None:
    tree = MemoryTree()
    for number in (0, 1):
        publish(tree, signed(tmp_path / str(number), number))
    image = signed_images.image()
    tag = f"v2/app/manifests/{image.root.digest.replace(':', '-')}.sig"
    layers = oci.read_manifest(tree.files[tag][1]).layers
    assert len(layers) == 2
    assert all(f"v2/app/blobs/{layer.digest}" in tree.files for layer in layers)
    referrers = json.loads(tree.files[f"v2/app/referrers/{image.root.digest}"][1])["manifests"]
    assert len(referrers) == len({entry["digest"] for entry in referrers}) >= 2
    tree.log.clear()
    publish(tree, layout.read_layout(tmp_path / "0"))
    assert [path for path in tree.log if "/manifests/" in path] == []


@pytest.mark.parametrize("part", ["/referrers/", ".sig", "/tags/list", "_catalog"])
def test_nothing_of_two_publishers_is_lost_who_write_to_a_bucket_at_once(tmp_path: Path, part: str) -> None:
    store = MemoryStore()
    first, second = (signed(tmp_path / str(number), number) for number in (0, 1))
    others = BucketTree(store, "memory")
    tree = InterruptedTree(store, part, lambda: publish(others, second, tag="2.0"))
    publish(tree, first)
    assert tree.part == "nothing more"
    assert find_missing(others) == []

    def read(path: str) -> bytes:
        content = others.read(path)
        assert content is not None
        return content

    assert {"1.0", "2.0"} <= {*json.loads(read("v2/app/tags/list"))["tags"]}
    name = signed_images.image().root.digest
    assert len(oci.read_manifest(read(f"v2/app/manifests/{name.replace(':', '-')}.sig")).layers) == 2
    listed = {entry["digest"] for entry in json.loads(read(f"v2/app/referrers/{name}"))["manifests"]}
    for image in (first, second):
        assert {link.digest for link in gather(image).graph.referrers[name]} <= listed


def test_a_file_that_others_change_all_the_time_is_given_up() -> None:
    class BusyTree(MemoryTree):
        attempts = 0

        def write(
            self, path: str, media_type: str, chunks: Iterable[bytes], *, since_read: bool = False
        ) -> None:
            if since_read:
                self.attempts += 1
                raise ChangedError("another process changed the object", where=path)
            super().write(path, media_type, chunks)

    tree = BusyTree()
    with pytest.raises(ChangedError):
        publish(tree, small())
    assert tree.attempts == 50


def test_a_blob_with_other_content_is_not_published() -> None:
    image = small()
    layer = oci.read_manifest(image.document(image.root)).layers[0]
    image.blobs.content[layer.digest] = bytes(layer.size)  # type: ignore[attr-defined]  # of MemoryBlobs
    tree = MemoryTree()
    with pytest.raises(TrustError, match="not what its digest says"):
        publish(tree, image)
    assert not any("/manifests/" in path or layer.digest in path for path in tree.files)


@pytest.mark.parametrize(
    "failing", ["/blobs/", "/manifests/sha256:", "/referrers/", ".sig", "/manifests/1.0"]
)
def test_after_a_failure_the_old_image_is_served(tmp_path: Path, failing: str) -> None:
    tree = MemoryTree()
    publish(tree, signed(tmp_path / "old", 0))
    old = tree.files["v2/app/manifests/1.0"]
    tree.failing = failing
    with pytest.raises(OSError, match="no space"):
        publish(tree, signed(tmp_path / "new", 0, content=b"new"))
    assert tree.files["v2/app/manifests/1.0"] == old
    assert find_missing(tree) == []
    tree.failing = ""
    publish(tree, layout.read_layout(tmp_path / "new"))
    assert tree.files["v2/app/manifests/1.0"] != old


def test_a_tag_is_removed() -> None:
    tree = MemoryTree()
    publish(tree, small())
    publish(tree, small(b"2"), tag="2.0")
    oci_tree.remove_tag(tree, "app", "1.0")
    assert json.loads(tree.files["v2/app/tags/list"][1])["tags"] == ["2.0"]
    oci_tree.remove_tag(tree, "app", "2.0")
    assert json.loads(tree.files["v2/_catalog"][1]) == {"repositories": []}
    with pytest.raises(ImageError, match="no such tag"):
        oci_tree.remove_tag(tree, "app", "2.0")


@pytest.mark.parametrize(
    ("name", "tag", "message"),
    [
        ("a/blobs/b", "1", "cannot have the component 'blobs'"),
        ("tags", "1", "cannot have the component 'tags'"),
        ("App", "1", "not the name of a repository"),
        ("../up", "1", "not the name of a repository"),
        ("a//b", "1", "not the name of a repository"),
        ("", "1", "not the name of a repository"),
        ("app", "../1", "not a tag"),
        ("app", "", "not a tag"),
        ("app", "sha256:0", "not a tag"),
    ],
)
def test_names_that_a_tree_cannot_have_are_refused(name: str, tag: str, message: str) -> None:
    tree = MemoryTree()
    with pytest.raises(UsageError, match=message):
        publish(tree, small(), name, tag)
    assert tree.files == {}


def test_two_images_cannot_get_one_name() -> None:
    images = [PublishedImage(gather(small(data)), "app", "1.0") for data in (b"1", b"2")]
    with pytest.raises(UsageError, match="two different images"):
        oci_tree.publish_images(images, MemoryTree(), Silent())


def test_an_image_with_a_digest_that_is_not_sha256_is_refused() -> None:
    blobs = handmade.MemoryBlobs()
    config = handmade.put(blobs, b"{}", oci.CONFIG)
    name = "sha512:" + "0" * 128
    blobs.content[name] = b"x"
    manifest = oci.make_manifest(config, (oci.Descriptor(oci.LAYER_TAR, name, 1),))
    image = Image(handmade.put(blobs, oci.encode_document(manifest), oci.MANIFEST), blobs)
    tree = MemoryTree()
    with pytest.raises(Exception, match="not a sha256 digest"):
        publish(tree, image)
    assert tree.files == {}
    assert digest.check(config.digest)
