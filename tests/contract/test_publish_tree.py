"""What every place that a static registry is published to must do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from pumice.errors import FormatError, ImageError
from pumice.formats import oci
from pumice.publish.bucket_tree import BucketTree
from pumice.publish.directory_tree import open_directory
from pumice.publish.tree import BYTES, ChangedError, Tree
from tests.support.memory_tree import MemoryTree

TAG = "v2/app/manifests/1.0"
BLOB = f"v2/app/blobs/sha256:{'0' * 64}"


@pytest.fixture(params=["directory", "bucket", "memory"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tree]:
    if request.param == "directory":
        with open_directory(tmp_path / "tree") as opened:
            yield opened
    elif request.param == "bucket":
        yield BucketTree(MemoryStore(), "memory")
    else:
        yield MemoryTree()


def test_what_is_written_is_read_and_listed(tree: Tree) -> None:
    document = b'{"manifests": []}'
    assert tree.read(TAG) is None
    tree.write(TAG, oci.INDEX, [document[:5], document[5:]])
    tree.write(BLOB, BYTES, [])
    tree.write("v2/", "application/json", [b"{}"])
    assert tree.read(TAG) == document
    assert tree.read("v2/") == b"{}"
    files = tree.list_files()
    assert files.pop(TAG) == len(document)
    assert files.pop(BLOB) == 0
    assert files.keys() < {"v2/", "v2/index.json"}


def test_a_document_is_replaced_also_by_one_of_another_type(tree: Tree) -> None:
    for media_type in (oci.MANIFEST, oci.INDEX, oci.MANIFEST, oci.DOCKER_INDEX):
        tree.write(TAG, media_type, [b'{"a": "%s"}' % media_type.encode()])
        assert media_type.encode() in (tree.read(TAG) or b"")
    assert list(tree.list_files()) == [TAG]


def test_a_document_that_was_just_read_is_replaced(tree: Tree) -> None:
    for content in (b'{"a": 1}', b'{"a": 2}', b'{"a": 3}'):
        tree.read(TAG)
        tree.write(TAG, oci.MANIFEST, [content], since_read=True)
    assert tree.read(TAG) == b'{"a": 3}'


@pytest.mark.parametrize("first", [b"old", None])
def test_an_object_that_another_process_changed_since_it_was_read_is_not_replaced(
    first: bytes | None,
) -> None:
    store = MemoryStore()
    tree, other = BucketTree(store, "memory"), BucketTree(store, "memory")
    if first is not None:
        other.write(TAG, oci.MANIFEST, [first])
    assert tree.read(TAG) == first
    other.write(TAG, oci.MANIFEST, [b"new"])
    with pytest.raises(ChangedError):
        tree.write(TAG, oci.MANIFEST, [b"mine"], since_read=True)
    assert tree.read(TAG) == b"new"
    tree.write(TAG, oci.MANIFEST, [b"mine"], since_read=True)
    assert tree.read(TAG) == b"mine"


@pytest.mark.parametrize("size", [10, 20_000_000])
def test_a_write_that_breaks_changes_nothing(tree: Tree, size: int) -> None:
    def chunks() -> Iterator[bytes]:
        yield bytes(size)
        raise ImageError("the source broke")

    tree.write(TAG, oci.MANIFEST, [b"{}"])
    for path in (TAG, BLOB):
        with pytest.raises(ImageError, match="the source broke"):
            tree.write(path, oci.MANIFEST, chunks())
    assert tree.read(TAG) == b"{}"
    assert BLOB not in tree.list_files()


def test_a_blob_of_another_repository_is_linked(tree: Tree) -> None:
    tree.write(BLOB, BYTES, [b"content"])
    other = BLOB.replace("app", "team/other")
    assert tree.link(BLOB, other)
    tree.remove(BLOB)
    assert tree.read(other) == b"content"


def test_removing_is_repeatable(tree: Tree) -> None:
    tree.write(TAG, oci.MANIFEST, [b"{}"])
    tree.remove(TAG)
    tree.remove(TAG)
    assert tree.list_files() == {}


def test_a_document_larger_than_4_mib_is_refused(tree: Tree) -> None:
    if isinstance(tree, MemoryTree):
        return
    tree.write(BLOB, BYTES, [bytes(oci.MAX_DOCUMENT + 1)])
    with pytest.raises(FormatError, match="larger than"):
        tree.read(BLOB)
