from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import ImageError, PumiceError, StoreError, TrustError
from pumice.formats import oci
from pumice.image.model import Image, list_blobs
from pumice.image.stat_cache import Records
from pumice.image.transports import layout, layout_writer
from pumice.progress import Silent
from pumice.store.home import Home
from tests.support import handmade
from tests.support.handmade import AMD64, ARM64, ImageContents, MemoryBlobs, file


def write(image: Image, folder: Path, tag: str = "1.0", records: Records | None = None) -> None:
    layout_writer.write_layout(image, folder, tag, records=records, progress=Silent())


def listing(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Counting:
    """Blobs that say how often they were opened, and can fail."""

    def __init__(self, image: Image, fail: str = "", error: Exception | None = None) -> None:
        self.inner = image.blobs
        self.opened: list[str] = []
        self.fail = fail
        self.error = error

    def open(self, digest_: str) -> BinaryIO:
        self.opened.append(digest_)
        if digest_ == self.fail and self.error is not None:
            raise self.error
        return self.inner.open(digest_)


def test_a_layout_has_exactly_one_descriptor_with_the_tag(tmp_path: Path) -> None:
    image = handmade.image(handmade.small())
    write(image, tmp_path / "out", "v1")
    index = json.loads((tmp_path / "out/index.json").read_bytes())
    assert index["manifests"] == [
        {
            "mediaType": oci.MANIFEST,
            "digest": image.root.digest,
            "size": image.root.size,
            "annotations": {"org.opencontainers.image.ref.name": "v1"},
        }
    ]
    assert json.loads((tmp_path / "out/oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert {f"blobs/sha256/{descriptor.digest[7:]}" for descriptor in list_blobs(image)} == {
        name for name in listing(tmp_path / "out") if name.startswith("blobs")
    }


def test_the_same_image_gives_the_same_layout(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(handmade.image(handmade.small()), tmp_path / name)
    assert listing(tmp_path / "a") == listing(tmp_path / "b")


def test_an_empty_folder_will_do(tmp_path: Path) -> None:
    write(handmade.image(handmade.small()), tmp_path)
    assert layout.read_layout(tmp_path).platforms() == (AMD64,)


def test_another_image_takes_the_place_of_the_first_and_its_blobs_go(tmp_path: Path) -> None:
    write(handmade.image(handmade.small()), tmp_path / "out")
    other_image = handmade.image(ImageContents([[file("other")]]))
    write(other_image, tmp_path / "out", "2.0")
    write(other_image, tmp_path / "fresh", "2.0")
    assert listing(tmp_path / "out") == listing(tmp_path / "fresh")


def test_files_that_are_not_ours_stay(tmp_path: Path) -> None:
    write(handmade.image(handmade.small()), tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "blobs/sha256/README").write_text("mine too")
    write(handmade.image(ImageContents([[file("other")]])), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "blobs/sha256/README").exists()


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(ImageError, match="not empty and is not an OCI layout"):
        write(handmade.image(handmade.small()), tmp_path)
    assert listing(tmp_path) == {"precious": b"x"}


def test_a_layout_of_several_images_is_refused(tmp_path: Path) -> None:
    image = handmade.image(handmade.small())
    write(image, tmp_path)
    index = json.loads((tmp_path / "index.json").read_bytes())
    index["manifests"] *= 2
    (tmp_path / "index.json").write_text(json.dumps(index))
    listing_before = listing(tmp_path)
    with pytest.raises(ImageError, match="holds 2 images, which would be overwritten"):
        write(handmade.image(ImageContents([[file("other")]])), tmp_path)
    assert listing(tmp_path) == listing_before


def test_an_interrupted_run_is_completed(tmp_path: Path) -> None:
    image = handmade.image(handmade.small())
    write(image, tmp_path / "out")
    complete_listing = listing(tmp_path / "out")
    (tmp_path / "out/index.json").unlink()
    sorted((tmp_path / "out/blobs/sha256").iterdir())[0].unlink()
    (tmp_path / "out/blobs/sha256/.pumice-0123").write_text("half")
    (tmp_path / "out/.pumice-0123").write_text("half")
    write(image, tmp_path / "out")
    assert listing(tmp_path / "out") == complete_listing


def test_a_damaged_blob_is_written_again(tmp_path: Path) -> None:
    image = handmade.image(handmade.small())
    write(image, tmp_path)
    complete_listing = listing(tmp_path)
    path = tmp_path / "blobs/sha256" / image.manifest().layers[0].digest[7:]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    write(image, tmp_path)
    assert listing(tmp_path) == complete_listing


@pytest.mark.parametrize("keep_records", [True, False])
def test_blobs_that_are_there_are_not_copied_again(tmp_path: Path, keep_records: bool) -> None:
    home = Home(tmp_path / "home")
    records = home.records if keep_records else None
    image = handmade.image(handmade.small())
    write(image, tmp_path / "out", records=records)
    counting = Counting(image)
    write(Image(image.root, counting), tmp_path / "out", records=records)
    layers = {layer.digest for layer in image.manifest().layers}
    assert layers.isdisjoint(counting.opened)
    home.close()


def test_with_records_unchanged_blobs_are_not_even_read_and_changed_ones_are(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    image = handmade.image(handmade.small())
    write(image, tmp_path / "out", records=home.records)
    path = tmp_path / "out/blobs/sha256" / image.manifest().layers[0].digest[7:]
    status_before = path.stat()
    content = path.read_bytes()
    # Nobody can put ctime back, so a change with size and mtime restored is still noticed.
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(status_before.st_atime_ns, status_before.st_mtime_ns))
    write(image, tmp_path / "out", records=home.records)
    assert path.read_bytes() == content
    home.close()


def test_damaged_records_only_cost_time(tmp_path: Path) -> None:
    class Broken:
        def get(self, kind: str, key: str) -> bytes | None:
            return b"\xff{"

        def put(self, kind: str, key: str, value: bytes, kept_blobs: object = ()) -> None:
            raise StoreError("read-only")

    image = handmade.image(handmade.small())
    for _ in range(2):
        write(image, tmp_path / "out", records=Broken())
    assert layout.read_layout(tmp_path / "out").root.digest == image.root.digest


@pytest.mark.parametrize("error", [StoreError("gone"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("existing", ["nothing", "empty", "layout"])
def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path, error: Exception, existing: str) -> None:
    folder = tmp_path / "out"
    if existing != "nothing":
        folder.mkdir()
    if existing == "layout":
        write(handmade.image(ImageContents([[file("first")]])), folder)
    listing_before = listing(tmp_path)
    image = handmade.image(handmade.small())
    blobs = Counting(image, image.manifest().layers[1].digest, error)
    with pytest.raises((PumiceError, KeyboardInterrupt)):
        write(Image(image.root, blobs), folder)
    assert listing(tmp_path) == listing_before
    assert folder.exists() == (existing != "nothing")
    assert existing != "empty" or not list(folder.iterdir())


def test_a_blob_with_another_digest_is_refused(tmp_path: Path) -> None:
    image = handmade.image(handmade.small())
    blobs = image.blobs
    assert isinstance(blobs, MemoryBlobs)
    blobs.content[image.manifest().layers[0].digest] += b"x"
    with pytest.raises(TrustError):
        write(image, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_index_goes_whole(tmp_path: Path) -> None:
    image = handmade.index({AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])})
    write(image, tmp_path)
    assert layout.read_layout(tmp_path).platforms() == (AMD64, ARM64)


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(ImageError, match=r"a file exists where a directory would be written"):
        write(handmade.image(handmade.small()), tmp_path / "out")
    with pytest.raises(ImageError, match="the parent directory does not exist"):
        write(handmade.image(handmade.small()), tmp_path / "no/out")


# Reading ------------------------------------------------------------------------------------------


def test_a_tag_is_found_among_several(tmp_path: Path) -> None:
    image = handmade.image(handmade.small())
    write(image, tmp_path, "one")
    index = json.loads((tmp_path / "index.json").read_bytes())
    index["manifests"] += [index["manifests"][0] | {"annotations": {oci.REF_NAME: "two"}}]
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert layout.read_layout(tmp_path, "two").root.annotations == {oci.REF_NAME: "two"}
    with pytest.raises(ImageError, match="holds 2 images") as caught:
        layout.read_layout(tmp_path)
    assert caught.value.hint == "choose one by appending :TAG; the tags are one, two"
    with pytest.raises(ImageError, match="no tag 'three'"):
        layout.read_layout(tmp_path, "three")


@pytest.mark.parametrize("missing", ["oci-layout", "index.json"])
def test_a_directory_without_its_files_is_not_a_layout(tmp_path: Path, missing: str) -> None:
    write(handmade.image(handmade.small()), tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ImageError, match=f"not an OCI layout: there is no {missing}"):
        layout.read_layout(tmp_path)


def test_a_pipe_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "oci-layout")
    with pytest.raises(ImageError, match="not a regular file"):
        layout.read_layout(tmp_path)


def test_a_missing_blob_is_one_sentence(tmp_path: Path) -> None:
    image = handmade.image(handmade.small())
    write(image, tmp_path)
    (tmp_path / "blobs/sha256" / image.manifest().config.digest[7:]).unlink()
    with pytest.raises(ImageError, match="the layout has no blob sha256:"):
        layout.read_layout(tmp_path).config()


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_any_files_give_an_image_or_a_pumice_error(
    tmp_path_factory: pytest.TempPathFactory, index: bytes, header: bytes
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for text in (header, layout.layout_header()):
        (folder / "oci-layout").write_bytes(text)
        (folder / "index.json").write_bytes(index)
        try:
            layout.read_layout(folder).platforms()
        except PumiceError:
            pass
