from __future__ import annotations

import os
from pathlib import Path

import pytest

from pumice.assembly.tree_changes import compare_states, read_state
from pumice.errors import ImageError


def test_additions_changes_and_removals_are_found(tmp_path: Path) -> None:
    for name in ("same", "rewritten", "replaced", "removed", "mode"):
        (tmp_path / name).write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("same")
    before = read_state(tmp_path)
    status = (tmp_path / "rewritten").stat()
    (tmp_path / "rewritten").write_text("TEXT")
    os.utime(tmp_path / "rewritten", ns=(status.st_atime_ns, status.st_mtime_ns))  # only the ctime tells
    (tmp_path / "new").write_text("text")
    (tmp_path / "new").rename(tmp_path / "replaced")
    (tmp_path / "removed").unlink()
    (tmp_path / "mode").chmod(0o600)
    (tmp_path / "folder/inner").write_text("")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("mode")
    changes = compare_states(before, read_state(tmp_path))
    assert changes.changed == ("folder/inner", "link", "mode", "replaced", "rewritten")
    assert changes.removed == ("removed",)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("")
    (tmp_path / "root/link").symlink_to("../outside")
    assert list(read_state(tmp_path / "root")) == ["link"]


def test_a_path_that_no_layer_can_hold_is_refused(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=directory)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = inner
    os.close(directory)
    with pytest.raises((ImageError, OSError)):
        read_state(tmp_path)
