"""Unpacking App Container images in the order of their archives."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pumice.errors import FormatError, ImageError
from pumice.formats.tar import Entry
from pumice.image.aci_extraction import extract_rootfs
from pumice.progress import Silent
from tests.support import aci

ROOT = "rootfs"


def extract(tmp_path: Path, *entries: Entry | tuple[Entry, bytes]) -> Path:
    """Return the directory with the root file system of an archive, whose root comes last."""
    path, root = tmp_path / "a.aci", tmp_path / "root"
    path.write_bytes(aci.archive(aci.manifest_file(), *entries, aci.ROOT))
    extracted = extract_rootfs(path, root, Silent())
    assert extracted.manifest == aci.manifest()
    return root


def test_directories_are_made_before_their_entries_come(tmp_path: Path) -> None:
    late = Entry(f"{ROOT}/a", "dir", 0o700)
    root = extract(tmp_path, aci.file(f"{ROOT}/a/b/c", b"1"), late, aci.file(f"{ROOT}/a/d", b"2"))
    modes = {str(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}
    assert modes == {"a": 0o700, "a/b": 0o755, "a/b/c": 0o644, "a/d": 0o644}
    assert stat.S_IMODE(root.stat().st_mode) == 0o755


def test_hard_links_share_a_file_and_links_to_links_are_links(tmp_path: Path) -> None:
    root = extract(
        tmp_path,
        aci.file(f"{ROOT}/file", b"1"),
        Entry(f"{ROOT}/to-file", "hardlink", 0o644, link=f"{ROOT}/file"),
        Entry(f"{ROOT}/link", "symlink", 0o777, link="/etc/passwd"),
        Entry(f"{ROOT}/to-link", "hardlink", 0o644, link=f"{ROOT}/link"),
        Entry(f"{ROOT}/to-that", "hardlink", 0o644, link=f"{ROOT}/to-link"),
        Entry(f"{ROOT}/pipe", "fifo", 0o600),
        Entry(f"{ROOT}/to-pipe", "hardlink", 0o644, link=f"{ROOT}/pipe"),
    )
    assert (root / "file").samefile(root / "to-file")
    assert {(root / name).readlink() for name in ("link", "to-link", "to-that")} == {Path("/etc/passwd")}
    assert (root / "to-pipe").is_fifo()


@pytest.mark.parametrize("end", [b"", b"x" * 512])
def test_nothing_is_left_of_an_archive_with_a_wrong_end(end: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.aci"
    path.write_bytes(aci.archive(aci.manifest_file(), aci.ROOT, aci.file(f"{ROOT}/a", b"1"), end=end))
    with pytest.raises(FormatError, match=r"a\.aci"):
        extract_rootfs(path, tmp_path / "root", Silent())
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_with_files_is_not_unpacked_into(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/file").write_text("mine")
    with pytest.raises(ImageError, match="not empty"):
        extract(tmp_path, aci.file(f"{ROOT}/file", b"other"))
    assert (tmp_path / "root/file").read_text() == "mine"
