from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from pumice.formats.tar import Entry
from pumice.progress import Silent
from pumice.runtime import prepared_tree, tree_fingerprint
from pumice.store.home import Home
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pumice.progress import Task


class Warnings:
    """Progress that keeps warnings."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warn(self, message: str) -> None:
        self.texts.append(message)

    def note(self, message: str) -> None:
        del message

    def task(self, label: str, total: int | None = None, *, unit: str = "bytes") -> Task:
        return Silent().task(label, total, unit=unit)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "store")


CONTENT: images.Files = {
    "etc/passwd": "root:x:0:0::/:/bin/sh\n",
    "bin/tool": b"program",
    "bin/link": Entry("bin/link", "symlink", 0o777, link="tool"),
    "srv/\udcff\n": "odd name",
}


def replace_link(root: Path) -> None:
    (root / "bin/link").unlink()
    (root / "bin/link").symlink_to("/etc/passwd")


def write_with_old_times(root: Path) -> None:
    status = (root / "bin/tool").stat()
    (root / "bin/tool").write_bytes(b"malware")
    os.utime(root / "bin/tool", ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "content": (lambda root: (root / "etc/passwd").write_text("root::0:0::/:/bin/sh\n"), "etc/passwd"),
    "content of the same size and time": (write_with_old_times, "bin/tool"),
    "mode": (lambda root: (root / "bin/tool").chmod(0o4755), "bin/tool"),
    "link": (replace_link, "bin/link"),
    "added": (lambda root: (root / "etc/ld.so.preload").write_text("/x.so"), "etc/ld.so.preload"),
    "removed": (lambda root: (root / "bin/tool").unlink(), "bin/tool"),
    "directory": (lambda root: (root / "etc").chmod(0o777), "etc"),
    "root": (lambda root: root.chmod(0o777), ""),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_changed_tree_is_named_and_unpacked_again(home: Home, name: str) -> None:
    change, path = CHANGES[name]
    image = images.make(home, [CONTENT])
    warnings = Warnings()
    root = prepared_tree.prepare(image, home, warnings).root
    original = {file: file.lstat().st_mode for file in root.rglob("*")}
    change(root)
    again = prepared_tree.prepare(image, home, warnings).root
    assert len(warnings.texts) == 1
    assert f"/{path}" in warnings.texts[0]
    assert (again / "bin/tool").read_bytes() == b"program"
    assert {file: file.lstat().st_mode for file in again.rglob("*")} == original
    prepared_tree.prepare(image, home, warnings)
    assert len(warnings.texts) == 1


def test_times_alone_do_not_matter_and_are_recorded(home: Home) -> None:
    image = images.make(home, [CONTENT])
    warnings = Warnings()
    root = prepared_tree.prepare(image, home, warnings).root
    inode = root.stat().st_ino
    before = (root.parent / "fingerprint").read_bytes()
    os.utime(root / "bin/tool", (0, 0))
    assert prepared_tree.prepare(image, home, warnings).root.stat().st_ino == inode
    assert warnings.texts == []
    assert (root.parent / "fingerprint").read_bytes() != before
    assert tree_fingerprint.find_changes(root.parent) == []


def test_full_verification_reads_contents(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    image = images.make(home, [CONTENT])
    root = prepared_tree.prepare(image, home, Warnings()).root
    digests: list[str] = []
    digest = tree_fingerprint._digest

    def note_digest(path: str) -> str:
        digests.append(path)
        return digest(path)

    monkeypatch.setattr(tree_fingerprint, "_digest", note_digest)
    assert tree_fingerprint.find_changes(root.parent) == []
    assert digests == []
    assert tree_fingerprint.find_changes(root.parent, full=True) == []
    assert {path.rpartition("/")[2] for path in digests} >= {"passwd", "tool", "link"}


@pytest.mark.parametrize("damage", [b"", b"x", b"\xff" * 80])
def test_a_damaged_fingerprint_counts_as_a_change(home: Home, damage: bytes) -> None:
    image = images.make(home, [CONTENT])
    root = prepared_tree.prepare(image, home, Warnings()).root
    (root.parent / "fingerprint").write_bytes(damage)
    assert tree_fingerprint.find_changes(root.parent)
    assert tree_fingerprint.find_changes(prepared_tree.prepare(image, home, Warnings()).root.parent) == []


def test_no_link_is_followed(home: Home, tmp_path: Path) -> None:
    image = images.make(home, [CONTENT])
    root = prepared_tree.prepare(image, home, Warnings()).root
    shutil.rmtree(root / "srv")
    (root / "srv").symlink_to(tmp_path)
    assert set(tree_fingerprint.find_changes(root.parent)) >= {"srv"}
