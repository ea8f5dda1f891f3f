from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from pumice.errors import FormatError
from pumice.image import layer_scan
from pumice.image.layer import Layer
from pumice.image.layer_scan import FileDigests, scan_layer
from pumice.image.model import Image
from pumice.store.home import Home
from tests.support import handmade
from tests.support.handmade import ImageContents, file, folder, symlink

STATUS = b"Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"
COPYRIGHT = b"License: MIT\n"
FILES = [
    folder("usr"),
    file("usr/program", b"program"),
    symlink("usr/link", "program"),
    file("usr/share/doc/a/copyright", COPYRIGHT),
    file("var/lib/dpkg/status", STATUS),
]


class CountedBlobs:
    """The blobs of an image, and how often a layer was read."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.count = 0

    def open(self, digest: str) -> BinaryIO:
        self.count += 1
        return self._image.blobs.open(digest)


def counted(items: list[handmade.Item]) -> tuple[Layer, CountedBlobs]:
    (layer,) = handmade.image(ImageContents([items])).layers()
    blobs = CountedBlobs(handmade.image(ImageContents([items])))
    return Layer(layer.descriptor, layer.diff_id, blobs), blobs


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "home") as opened_home:
        yield opened_home


def test_a_scan_has_entries_sizes_and_the_package_database() -> None:
    layer, _ = counted(FILES)
    scan = scan_layer(layer)
    assert [entry.path for entry in scan.entries] == [entry.path for entry, _ in FILES]
    assert scan.unpacked == sum(entry.size for entry in scan.entries)
    assert scan.texts == {"var/lib/dpkg/status": STATUS}
    assert scan.digests == ()


def test_a_detailed_scan_has_digests_and_copyright_files_too() -> None:
    layer, _ = counted(FILES)
    scan = scan_layer(layer, detailed=True)
    assert scan.entries == scan_layer(layer).entries
    assert scan.unpacked == scan_layer(layer).unpacked
    assert scan.texts == {"var/lib/dpkg/status": STATUS, "usr/share/doc/a/copyright": COPYRIGHT}
    by_path = dict(zip([entry.path for entry in scan.entries], scan.digests, strict=True))
    assert by_path["usr"] == by_path["usr/link"] == FileDigests()
    for path, content in (("usr/program", b"program"), ("var/lib/dpkg/status", STATUS)):
        assert by_path[path] == (hashlib.sha256(content).hexdigest(), hashlib.sha1(content).hexdigest())


def test_a_layer_is_read_once_whoever_asks(home: Home) -> None:
    layer, blobs = counted(FILES)
    detailed = scan_layer(layer, home.records, detailed=True)
    assert scan_layer(layer, home.records) == detailed
    assert scan_layer(layer, home.records, detailed=True) == detailed
    assert blobs.count == 1


def test_a_detailed_scan_takes_the_place_of_another(home: Home) -> None:
    layer, blobs = counted(FILES)
    assert not scan_layer(layer, home.records).is_detailed
    assert scan_layer(layer, home.records, detailed=True).is_detailed
    assert scan_layer(layer, home.records).is_detailed
    assert blobs.count == 2


def test_a_name_that_is_not_utf_8_is_read_again(home: Home) -> None:
    layer, blobs = counted([file("name\udcff", b"x")])
    assert scan_layer(layer, home.records) == scan_layer(layer, home.records)
    assert blobs.count == 2


@pytest.mark.parametrize("detailed", [False, True])
def test_both_scans_have_the_same_limit(monkeypatch: pytest.MonkeyPatch, detailed: bool) -> None:
    layer, _ = counted(FILES)
    monkeypatch.setattr(layer_scan, "_MAX_TEXT", len(STATUS) - 1)
    with pytest.raises(FormatError, match="larger than any real one"):
        scan_layer(layer, detailed=detailed)
