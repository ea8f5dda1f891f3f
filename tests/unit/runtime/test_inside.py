from __future__ import annotations

import os
from pathlib import Path

import pytest

from pumice.runtime import inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("outside")
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_text("tool")
    (root / "bin").symlink_to("usr/bin")
    (root / "absolute").symlink_to("/usr/bin/tool")
    (root / "up").symlink_to("../../../../outside")
    (root / "out").symlink_to(str(tmp_path / "outside"))
    (root / "loop").symlink_to("loop")
    (root / "outside").write_text("inside")
    return root


def test_links_are_followed_as_if_the_tree_were_everything(root: Path) -> None:
    tool = root / "usr/bin/tool"
    assert inside.resolve(root, "/bin/tool") == tool
    assert inside.resolve(root, "absolute") == tool
    assert inside.resolve(root, "bin/../bin/./tool") == tool
    assert inside.resolve(root, "../../usr") == root / "usr"


def test_nothing_leads_out(root: Path) -> None:
    assert inside.read(root, "up", 100) == b"inside"
    assert inside.read(root, "out", 100) is None


@pytest.mark.parametrize("path", ["none", "loop", "usr/bin/tool/below", "a\0b", "x" * 5000])
def test_what_is_not_there_is_none(root: Path, path: str) -> None:
    assert inside.resolve(root, path) is None
    assert inside.read(root, path, 10) is None


def test_only_plain_files_are_read_and_not_too_much_of_them(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert inside.read(root, "pipe", 10) is None
    assert inside.read(root, "usr", 10) is None
    assert inside.read(root, "bin/tool", 2) == b"to"
