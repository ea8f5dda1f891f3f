from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from pumice.digest import hex_of, of
from pumice.errors import StoreError, TrustError
from pumice.formats import oci
from pumice.image.blob_copy import Blob
from pumice.store.home import Home
from tests.support.store_workload import put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pumice.digest import Digest
    from pumice.progress import Task


class Heard:
    """A progress display that remembers warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        raise AssertionError

    def note(self, message: str) -> None:
        raise AssertionError

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as home:
        assert list(home.blobs.digests()) == []  # using it makes it
        yield home


def path_of(home: Home, digest: Digest) -> Path:
    return home.root / "blobs" / "sha256" / hex_of(digest)


def reads(home: Home, digest: Digest) -> int | None:
    """Return what a fresh process would say of a blob."""
    with Home(home.root) as other_home:
        return other_home.blobs.size(digest)


def spoil(path: Path, *, same_times: bool) -> None:
    """Change one byte; size stays, and mtime too if wanted."""
    status_before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        first = file.read(1)
        file.seek(0)
        file.write(bytes([first[0] ^ 1]))
    path.chmod(0o444)
    if same_times:
        os.utime(path, ns=(status_before.st_atime_ns, status_before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (
            status_before.st_size,
            status_before.st_mtime_ns,
        )


@pytest.mark.parametrize("same_times", [False, True])
def test_a_changed_blob_is_noticed_and_removed(home: Home, same_times: bool) -> None:
    digest = put(home.blobs, b"precious")
    spoil(path_of(home, digest), same_times=same_times)
    heard = Heard()
    with Home(home.root, progress=heard) as other_home:
        assert other_home.blobs.size(digest) is None
        assert not path_of(home, digest).exists()
        assert digest in heard.warnings[0]
        with pytest.raises(StoreError):
            other_home.blobs.open(digest)
        put(other_home.blobs, b"precious")
    assert home.blobs.size(digest) == 8


def test_a_changed_blob_is_noticed_by_who_opens_it(home: Home) -> None:
    digest = put(home.blobs, b"precious")
    spoil(path_of(home, digest), same_times=True)
    with pytest.raises(StoreError):
        home.blobs.open(digest)


def test_writing_replaces_a_damaged_blob(home: Home) -> None:
    digest = put(home.blobs, b"precious")
    spoil(path_of(home, digest), same_times=True)
    assert put(home.blobs, b"precious") == digest
    with home.blobs.open(digest) as file:
        assert file.read() == b"precious"


def test_a_blob_that_was_moved_about_is_hashed_again_and_then_trusted(home: Home) -> None:
    digest = put(home.blobs, b"moved")
    path = path_of(home, digest)
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)  # another inode, as a backup would leave it
    lines = (home.root / "trust").read_text().split()
    assert reads(home, digest) == 5
    assert str(path.stat().st_ino) in (home.root / "trust").read_text()
    assert len((home.root / "trust").read_text().split()) == len(lines) + 5


def test_a_trusted_blob_is_not_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = put(home.blobs, b"trusted")
    with Home(home.root) as other_home:
        monkeypatch.setattr(other_home.blobs, "_verify_file", None)  # calling it would fail
        assert other_home.blobs.size(digest) == 7


def test_stat_cache_is_shared_between_processes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home.blobs, b"first")
    with Home(home.root) as other_home:
        other_home.blobs.size(of(b"first"))
        digest = put(home.blobs, b"second")
        monkeypatch.setattr(other_home.blobs, "_verify_file", None)
        assert other_home.blobs.size(digest) == 6


@pytest.mark.parametrize(
    "trust", [b"", b"\0" * 300, b"x" * 300 + b"\n", b"sha256 \n\n\n1 2 3\n", b"\xff\n" * 9]
)
def test_a_lost_or_spoiled_record_of_trust_means_hashing_again(home: Home, trust: bytes) -> None:
    digest = put(home.blobs, b"content")
    (home.root / "trust").write_bytes(trust)
    assert reads(home, digest) == 7
    assert hex_of(digest) in (home.root / "trust").read_bytes().decode("latin-1")


def test_a_torn_line_of_trust_spoils_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    first = put(home.blobs, b"first")
    path = home.root / "trust"
    path.write_bytes(path.read_bytes()[:-9])
    second = put(home.blobs, b"second")
    with Home(home.root) as other_home:
        hashed: list[str] = []
        original = other_home.blobs._verify_file

        def hash_and_tell(name: str) -> int | None:
            hashed.append(name)
            return original(name)

        monkeypatch.setattr(other_home.blobs, "_verify_file", hash_and_tell)
        assert other_home.blobs.size(second) == 6
        assert hashed == []
        assert other_home.blobs.size(first) == 5
        assert hashed == [hex_of(first)]


def test_stat_cache_that_cannot_be_written_is_ignored(home: Home) -> None:
    (home.root / "trust").mkdir()
    digest = put(home.blobs, b"content")
    assert reads(home, digest) == 7


def test_blobs_are_read_only_files_with_their_digest_as_name(home: Home) -> None:
    digest = put(home.blobs, b"content")
    path = path_of(home, digest)
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0


def test_a_composed_blob_costs_its_list_only(home: Home) -> None:
    parts = [put(home.blobs, b"a" * 5000), put(home.blobs, b"b" * 5000)]
    composed_digest = of(b"a" * 5000 + b"b" * 5000)
    home.blobs.compose(parts, composed_digest)
    assert home.blobs.stored_size(composed_digest) < 400
    assert home.blobs.composition(composed_digest) is not None
    assert home.blobs.composition(parts[0]) is None
    assert not path_of(home, composed_digest).exists()


def test_a_composed_blob_goes_with_its_parts(home: Home) -> None:
    parts = [put(home.blobs, b"one"), put(home.blobs, b"two")]
    home.blobs.compose(parts, of(b"onetwo"))
    spoil(path_of(home, parts[1]), same_times=True)
    assert home.blobs.size(of(b"onetwo")) is None
    with pytest.raises(StoreError):
        home.blobs.open(of(b"onetwo"))
    put(home.blobs, b"two")
    assert home.blobs.size(of(b"onetwo")) == 6


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\0" * 200, b"0" * 64 + b'\n{"parts":["../../x"],"sizes":[1]}']
)
def test_damaged_list_of_parts_counts_as_missing(home: Home, content: bytes) -> None:
    home.blobs.compose([put(home.blobs, b"one")] * 2, of(b"oneone"))
    path = home.root / "composed" / hex_of(of(b"oneone"))
    path.chmod(0o644)
    path.write_bytes(content)
    assert home.blobs.size(of(b"oneone")) is None
    assert not home.blobs.verify(of(b"oneone"))
    home.blobs.compose([put(home.blobs, b"one")] * 2, of(b"oneone"))
    assert home.blobs.size(of(b"oneone")) == 6


def test_blob_that_is_damaged_behind_the_stat_cache_is_removed_when_copied(home: Home) -> None:
    """A disk that lost a bit says nothing by the file's times: only reading shows it."""
    parts = [put(home.blobs, b"one"), put(home.blobs, b"two")]
    home.blobs.compose(parts, of(b"onetwo"))
    path = path_of(home, parts[1])
    spoil(path, same_times=True)
    home.blobs._stat_cache.record(hex_of(parts[1]), path.stat())
    assert home.blobs.size(of(b"onetwo")) == 6
    with pytest.raises(TrustError) as caught:
        Blob(oci.Descriptor(oci.LAYER_TAR, of(b"onetwo"), 6), home.blobs).copy(lambda _: None)
    assert caught.value.hint == "it has been removed from the store: build the image again"
    assert list(home.blobs.digests()) == [parts[0]]


def test_a_wrong_composition_is_found_by_verifying(home: Home) -> None:
    home.blobs.compose([put(home.blobs, b"one")], of(b"two"))
    assert home.blobs.size(of(b"two")) == 3
    assert not home.blobs.verify(of(b"two"))
    assert home.blobs.discard_if_damaged(of(b"two"))
    assert list(home.blobs.digests()) == [of(b"one")]


def test_delete_returns_the_freed_bytes(home: Home) -> None:
    digest = put(home.blobs, b"content")
    assert home.blobs.delete(digest) == 7
    assert home.blobs.delete(digest) == 0
    assert home.blobs.size(digest) is None


def test_foreign_files_are_no_blobs(home: Home) -> None:
    (home.root / "blobs" / "sha256" / "README").write_text("hello")
    (home.root / "blobs" / "sha256" / ("0" * 64)).mkdir()
    digest = put(home.blobs, b"content")
    assert digest in list(home.blobs.digests())
    with pytest.raises(StoreError):
        home.blobs.size("sha256:" + "0" * 64)


def test_a_part_that_shrinks_while_it_is_read_is_an_error_not_an_end(home: Home) -> None:
    parts = [put(home.blobs, b"a" * 200_000), put(home.blobs, b"b" * 200_000)]
    composed_digest = of(b"a" * 200_000 + b"b" * 200_000)
    home.blobs.compose(parts, composed_digest)
    with home.blobs.open(composed_digest) as file:
        file.read(10)
        path = path_of(home, parts[1])
        path.chmod(0o644)
        os.truncate(path, 10)
        with pytest.raises(OSError, match="ends early"):
            file.read()


def test_a_file_becomes_a_blob_without_a_copy(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home.directory("tmp") / "downloaded"
    path.write_bytes(b"content")
    inode, name = path.stat().st_ino, of(b"content")
    home.blobs.adopt(str(path), name)
    with home.blobs.open(name) as file:
        assert (file.read(), os.fstat(file.fileno()).st_ino) == (b"content", inode)
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o444
    assert path.read_bytes() == b"content"  # whoever shares the file still finds it
    path.unlink()
    monkeypatch.setattr("pumice.store.directory_blobs.hashlib", None)  # nothing is hashed again
    assert home.blobs.size(name) == 7


def test_a_file_of_a_blob_that_exists_is_left(home: Home) -> None:
    put(home.blobs, b"content")
    path = home.directory("tmp") / "downloaded"
    path.write_bytes(b"content")
    home.blobs.adopt(str(path), of(b"content"))
    assert not path.is_symlink()
    assert home.blobs.verify(of(b"content"))
