from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.errors import ImageError
from pumice.formats import oci
from pumice.publish.directory_tree import open_directory

TAG = "v2/app/manifests/1.0"


def test_a_tag_has_one_file_whose_suffix_is_its_type(tmp_path: Path) -> None:
    with open_directory(tmp_path / "tree") as tree:
        for media_type, suffix in (
            (oci.MANIFEST, "ocim"),
            (oci.INDEX, "ocii"),
            (oci.DOCKER_MANIFEST, "dkrm"),
        ):
            tree.write(TAG, media_type, [media_type.encode()])
            assert tree.read(TAG) == media_type.encode()
            assert [path.name for path in (tmp_path / "tree/v2/app/manifests").iterdir()] == [f"1.0.{suffix}"]
        assert tree.list_files() == {TAG: len(oci.DOCKER_MANIFEST)}


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path: Path) -> None:
    def fail() -> Iterator[bytes]:
        yield b"half"
        raise ImageError("the source broke")

    with open_directory(tmp_path / "tree") as tree:
        tree.write(TAG, oci.MANIFEST, [b"old"])
        with pytest.raises(ImageError):
            tree.write(TAG, oci.MANIFEST, fail())
        assert tree.read(TAG) == b"old"
        assert len(list((tmp_path / "tree/v2/app/manifests").iterdir())) == 1


def test_a_reader_keeps_the_file_that_it_has_open(tmp_path: Path) -> None:
    with open_directory(tmp_path / "tree") as tree:
        tree.write(TAG, oci.MANIFEST, [b"old"])
        with (tmp_path / f"tree/{TAG}.ocim").open("rb") as file:
            tree.write(TAG, oci.MANIFEST, [b"new"])
            assert file.read() == b"old"


def test_each_change_of_a_tag_has_a_later_second(tmp_path: Path) -> None:
    """Servers make the ETag of the time in seconds and the size."""
    times = []
    with open_directory(tmp_path / "tree") as tree:
        for number in range(3):
            tree.write(TAG, oci.MANIFEST, [b"%d" % number])
            times.append(int((tmp_path / f"tree/{TAG}.ocim").stat().st_mtime))
    assert times == sorted(set(times))


def test_a_web_server_can_read_everything_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        with open_directory(tmp_path / "tree") as tree:
            tree.write("v2/app/blobs/x", "application/octet-stream", [b"x"])
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tree").rglob("*") if path.is_dir()}
    assert modes == {0o755}
    assert stat.S_IMODE((tmp_path / "tree/v2/app/blobs/x").stat().st_mode) == 0o644


def test_leftovers_of_a_killed_publish_are_removed(tmp_path: Path) -> None:
    leftover = tmp_path / "tree/v2/app/blobs/.pumice-scratch-1-2"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    with open_directory(tmp_path / "tree") as tree:
        assert tree.list_files() == {}
    assert not leftover.exists()


def test_removing_a_file_removes_empty_directories_only(tmp_path: Path) -> None:
    with open_directory(tmp_path / "tree") as tree:
        tree.write("v2/a/b/blobs/x", "", [b"x"])
        tree.write("v2/a/blobs/x", "", [b"x"])
        tree.remove("v2/a/b/blobs/x")
        tree.remove("v2/a/b/blobs/x")
        assert not (tmp_path / "tree/v2/a/b").exists()
        assert tree.list_files() == {"v2/a/blobs/x": 1}


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ImageError), open_directory(tmp_path / "file"):
        pass
    with pytest.raises(ImageError, match="parent directory"), open_directory(tmp_path / "no" / "tree"):
        pass
