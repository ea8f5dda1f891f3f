"""Whether an output can be written is known before it is: no directory, file or permission is missing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pumice.errors import ImageError
from pumice.image.output import check_directory, check_file
from pumice.image.unpack import check_new_directory


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that the user may not write to, as root would be told on a file system without root."""
    path = tmp_path / "locked"
    path.mkdir(0o500)
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda at, mode: access(at, mode) and bool(Path(at).stat().st_mode & stat.S_IWUSR)
    )
    return path


@pytest.mark.parametrize("check", [check_file, check_directory, check_new_directory])
def test_a_directory_without_permission_is_refused(locked: Path, check: object) -> None:
    assert callable(check)
    with pytest.raises(ImageError, match="permission denied"):
        check(locked / "output")


def test_a_read_only_file_system_is_named(locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.statvfs_result((0,) * 8 + (os.ST_RDONLY, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: status)
    with pytest.raises(ImageError, match="the file system is read-only"):
        check_file(locked / "output")


def test_what_can_be_written_is_accepted_and_not_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "empty").mkdir()
    for name in ("file", "link", "new"):
        check_file(tmp_path / name)
    for name in ("-", "/dev/null"):
        check_file(name)
    for name in ("empty", "new"):
        check_new_directory(tmp_path / name)
        check_directory(tmp_path / name)
    check_directory(tmp_path / "a" / "b" / "c", with_parents=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "link"]


def test_parents_are_made_only_where_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the parent directory does not exist"):
        check_directory(tmp_path / "a" / "b")
