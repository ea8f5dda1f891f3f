"""`pumice.image.aci_cache`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pumice.errors import FormatError, ImageError
from pumice.image import aci_cache, aci_reader
from pumice.image.transports import archive_members
from pumice.progress import Silent
from pumice.store.home import Home
from tests.support import aci
from tests.support.handmade import file, folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.digest import Digest
    from pumice.image.aci_reader import ReadAci
    from pumice.image.stat_cache import Records

ITEMS = [folder(""), file("a", b"hello")]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows by the path of each image that is read as a whole."""
    paths: list[Path] = []
    original = aci_reader.read_aci

    def read(path: Path, *arguments: Any, **options: Any) -> ReadAci:
        paths.append(path)
        return original(path, *arguments, **options)

    monkeypatch.setattr(aci_reader, "read_aci", read)
    return paths


def test_an_unchanged_image_is_read_once_until_a_file_is_needed(
    home: Home, tmp_path: Path, reads: list[Path]
) -> None:
    path = tmp_path / "a.aci"
    aci.image(path, ITEMS, name="example.com/a")
    first = aci_cache.open_aci(path, home.records, Silent())
    again = aci_cache.open_aci(path, home.records, Silent())
    assert again.validated == first.validated
    assert again.image().root == first.image().root
    assert again.image().config() == first.image().config()
    assert reads == [path]
    assert [entry.path for entry, _ in again.image().layers()[0].entries()] == ["", "a"]
    assert [entry.path for entry, _ in again.image().layers()[0].entries()] == ["", "a"]
    assert reads == [path, path]


def test_a_changed_image_is_read_again(home: Home, tmp_path: Path, reads: list[Path]) -> None:
    path = tmp_path / "a.aci"
    aci.image(path, ITEMS, name="example.com/a")
    first = aci_cache.open_aci(path, home.records, Silent())
    aci.image(path, [*ITEMS, file("b")], name="example.com/a")
    assert aci_cache.open_aci(path, home.records, Silent()).validated.image_id != first.validated.image_id
    os.utime(path, ns=(1, 1))
    aci_cache.open_aci(path, home.records, Silent())
    assert len(reads) == 3


def test_an_image_that_changes_while_it_is_used_is_refused(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "a.aci"
    aci.image(path, ITEMS, name="example.com/a")
    aci_cache.open_aci(path, home.records, Silent())
    again = aci_cache.open_aci(path, home.records, Silent())
    aci.image(path, [*ITEMS, file("b")], name="example.com/a")
    with pytest.raises(ImageError, match="the file changed while it was used"):
        again.layer.open()


def test_a_wrong_image_is_not_kept(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "a.aci"
    path.write_bytes(b"nothing")
    for _ in range(2):
        with pytest.raises(FormatError):
            aci_cache.open_aci(path, home.records, Silent())
    with pytest.raises(ImageError, match="does not exist"):
        aci_cache.open_aci(tmp_path / "none.aci", home.records, Silent())


class SwappingRecords:
    """Records of a store, during whose first lookup an image is replaced by another one."""

    def __init__(self, records: Records, path: Path, other: Path) -> None:
        self._records = records
        self._path, self._other = path, other

    def get(self, kind: str, key: Digest) -> bytes | None:
        if self._other.exists():
            self._other.replace(self._path)
        return self._records.get(kind, key)

    def put(self, kind: str, key: Digest, value: bytes, kept_blobs: Sequence[Digest] = ()) -> None:
        self._records.put(kind, key, value, kept_blobs)


def test_a_record_is_not_used_for_a_file_that_replaced_the_one_it_is_about(
    home: Home, tmp_path: Path
) -> None:
    path, other = tmp_path / "a.aci", tmp_path / "b.aci"
    aci.image(path, ITEMS, name="example.com/a")
    other_id = aci.image(other, [folder(""), file("b", b"other")], name="example.com/b")
    aci_cache.open_aci(path, home.records, Silent())
    read = aci_cache.open_aci(path, SwappingRecords(home.records, path, other), Silent())
    assert read.validated.image_id == other_id
    assert read.archive.status == archive_members.read_status(path)
