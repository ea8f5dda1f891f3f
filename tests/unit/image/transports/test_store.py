from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import ImageError, PumiceError, StoreError, UsageError
from pumice.formats.oci import Descriptor
from pumice.image.model import Image, list_blobs
from pumice.image.transports import transfer
from pumice.image.transports.gathered_image import GatheredImage
from pumice.image.transports.local_source import LocalSource
from pumice.image.transports.locations import STORE, Address, OpenedImage
from pumice.image.transports.store import StoreLocation
from pumice.store.home import Home
from tests.support import handmade, locations, published
from tests.support.handmade import AMD64, ARM64, ImageContents, file


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "home") as opened_home:
        yield opened_home


def keep(home: Home, image: Image, name: str = "") -> None:
    for descriptor in list_blobs(image):
        with home.blobs.writer() as writer, image.blobs.open(descriptor.digest) as source:
            writer.write(source.read())
            writer.commit(descriptor.digest)
    if name:
        home.refs.set(name, image.root)


ONE = handmade.image(ImageContents([[file("one")]]))
TWO = handmade.index({AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])})


def test_by_name_and_version(home: Home) -> None:
    keep(home, ONE, "example.com/hello:1.0")
    image = locations.find("example.com/hello:1.0", home)
    assert image.root == ONE.root
    assert [entry.path for entry, _ in image.layers()[0].entries()] == ["one"]


def test_by_name_alone_when_there_is_one_version(home: Home) -> None:
    keep(home, ONE, "hello:1.0")
    keep(home, TWO, "hello-two:1.0")
    assert locations.find("hello", home).root == ONE.root
    keep(home, TWO, "hello:1.1")
    with pytest.raises(ImageError) as caught:
        locations.find("hello", home)
    assert str(caught.value) == ("there are 2 versions of hello\n  hint: write one of hello:1.0, hello:1.1")


def test_by_digest_of_an_index_of_a_platform_and_of_what_has_no_name(home: Home) -> None:
    keep(home, TWO, "two:1")
    keep(home, ONE)
    arm = TWO.select(ARM64)
    for image in (TWO, arm, ONE):
        hex_digits = image.root.digest[7:]
        for text in (image.root.digest, image.root.digest[:20], hex_digits, hex_digits[:12]):
            assert locations.find(text, home).root.digest == image.root.digest


def test_layers_and_configs_are_no_images(home: Home) -> None:
    keep(home, ONE, "one:1")
    for digest in (ONE.manifest().config.digest, ONE.manifest().layers[0].digest):
        with pytest.raises(ImageError, match=r"sha256:[0-9a-f]+ is not in the local store"):
            locations.find(digest, home)


def test_an_ambiguous_beginning_of_a_digest_is_refused(home: Home) -> None:
    starts: dict[str, str] = {}
    number = 0
    while True:  # some two of a few hundred images begin alike
        image = handmade.image(ImageContents([[file(f"f{number}")]]))
        number += 1
        start = image.root.digest[7:11]
        if start in starts:
            break
        starts[start] = f"f{number - 1}"
    keep(home, image)
    keep(home, handmade.image(ImageContents([[file(starts[start])]])))
    with pytest.raises(ImageError, match=f"2 images have a digest that begins with {start}"):
        locations.find(start, home)


def test_layouts_by_place_and_tag(home: Home, tmp_path: Path) -> None:
    for kind in ("oci", "oci-archive"):
        location = f"{kind}:{tmp_path}/{kind}"
        locations.write(ONE, location, version="v1")
        assert locations.find(location, home).root.digest == ONE.root.digest
        assert locations.find(f"{location}:v1", home).root.digest == ONE.root.digest
        with pytest.raises(ImageError, match="no tag 'v2'"):
            locations.find(f"{location}:v2", home)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hello:1.1", "did you mean example.com/hello:1.0? otherwise, try 'pumice pull hello:1.1'"),
        ("hello", "did you mean example.com/hello:1.0? otherwise, try 'pumice pull hello'"),
        (
            "example.com-helo:1.0",
            "did you mean example.com/hello:1.0?",
        ),
        ("quite-different", "try 'pumice pull quite-different'"),
        ("00000000", "run 'pumice images' to list the images"),
    ],
)
def test_what_is_not_there_is_said_with_what_comes_near(home: Home, text: str, hint: str) -> None:
    keep(home, ONE, "example.com/hello:1.0")
    with pytest.raises(ImageError) as caught:
        locations.find(text, home)
    assert str(caught.value) == f"{text} is not in the local store\n  hint: {hint}"


def test_hints_for_a_bare_path_and_an_empty_store(home: Home, tmp_path: Path) -> None:
    locations.write(ONE, f"oci:{tmp_path}/layout", version="1")
    for text, hint in (
        (str(tmp_path / "layout"), f"write oci:{tmp_path}/layout"),
        ("x", "the store is empty: try 'pumice pull x'"),
        ("0000", "the store is empty: build a recipe first, or set PUMICE_HOME"),
    ):
        with pytest.raises(PumiceError) as caught:
            locations.find(text, home)
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    "text", ["docker-archive:", "tar:x", "dir:x", "oci:", "sha256:xyz", "sha256:" + "0" * 65, "A B:1"]
)
def test_what_can_name_no_image_is_a_usage_error(home: Home, text: str) -> None:
    with pytest.raises(UsageError):
        locations.find(text, home)


@given(st.text(max_size=20) | st.text("oci:-/ab.\0", max_size=12) | st.text("0123456789abcdef", max_size=70))
def test_any_text_gives_an_image_or_a_pumice_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    with Home(tmp_path_factory.getbasetemp() / "fuzz-home") as home:
        try:
            locations.find(text, home)
        except PumiceError as error:
            assert not isinstance(error, StoreError)


class FileSource(LocalSource):
    """A source that has downloaded the layer to a file."""

    def __init__(self, image: Image, directory: Path) -> None:
        super().__init__(image)
        self.layer = image.manifest().layers[0]
        self.path = directory / "downloaded"
        with image.blobs.open(self.layer.digest) as file:
            self.path.write_bytes(file.read())

    def download(self, descriptor: Descriptor) -> Path | None:
        return self.path if descriptor == self.layer else None

    def open(self, descriptor: Descriptor) -> BinaryIO:
        assert descriptor != self.layer, "the file is there"
        return super().open(descriptor)


def test_a_file_that_was_downloaded_becomes_the_blob(home: Home) -> None:
    source = FileSource(ONE, home.directory("tmp"))
    inode = source.path.stat().st_ino
    gathered = GatheredImage(published.gather(ONE).graph, source)
    opened = OpenedImage(ONE, lambda: source, "hello", "1.0")
    destination = StoreLocation(Address(STORE, "hello:1.0"))
    counts = transfer.copy_image(gathered, opened, destination, locations.access(home))
    assert counts.sent == 2
    with home.blobs.open(source.layer.digest) as blob:
        assert os.fstat(blob.fileno()).st_ino == inode
    assert locations.find("hello:1.0", home).root == ONE.root
