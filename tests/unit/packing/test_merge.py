"""Merging packages into one tree: owners of paths, and conflicts."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytest

from pumice.errors import ImageError
from pumice.packing import merge, package_cutter
from pumice.packing.merge import MergedTree
from pumice.packing.selection import Selection
from pumice.store.home import Home
from tests.support.deb import Deb, Item, folder, symlink, text


def _merge(tmp_path: Path, *packages: Deb, diversions: merge.Diversions | None = None) -> MergedTree:
    home = Home(tmp_path)
    package_segments = {
        package.name: package_cutter.cut_segment(
            io.BytesIO(package.build()), Selection(includes_dpkg_info=False), home.blobs
        )
        for package in packages
    }
    return merge.merge_segments(package_segments, diversions or {}, home.blobs)


def _owners(merged: MergedTree) -> Mapping[str, str]:
    return {path: node.owner for path, node in merged.tree.nodes.items() if node.entry.kind != "dir"}


def test_each_file_has_an_owner_and_can_be_read(tmp_path: Path) -> None:
    merged = _merge(
        tmp_path,
        Deb("a", files=[text("usr/a", "A")]),
        Deb("b", files=[text("usr/b", "B"), symlink("usr/c", "b")]),
    )
    assert _owners(merged) == {"usr/a": "a", "usr/b": "b", "usr/c": "b"}
    assert merged.tree.read("usr/c") == b"B"
    assert merged.hidden == {}


def test_a_package_takes_over_the_files_that_it_replaces(tmp_path: Path) -> None:
    old_package = Deb("old", "1.0", files=[text("usr/x", "old"), text("usr/y", "old")])
    new_package = Deb("new", fields={"Replaces": "other, old (<< 2)"}, files=[text("usr/x", "new")])
    merged = _merge(tmp_path, old_package, new_package)
    assert _owners(merged) == {"usr/x": "new", "usr/y": "old"}
    assert merged.hidden == {"old": ("usr/x",)}
    assert merged.tree.read("usr/x") == b"new"


def test_a_newer_version_is_not_replaced(tmp_path: Path) -> None:
    old_package = Deb("old", "3.0", files=[text("usr/x", "old")])
    new_package = Deb("new", fields={"Replaces": "old (<< 2)"}, files=[text("usr/x", "new")])
    with pytest.raises(ImageError, match="new and old conflict at /usr/x"):
        _merge(tmp_path, old_package, new_package)


def test_an_identical_file_is_kept_once(tmp_path: Path) -> None:
    merged = _merge(tmp_path, Deb("a", files=[text("usr/x", "=")]), Deb("b", files=[text("usr/x", "=")]))
    assert merged.hidden == {"b": ("usr/x",)}


def test_a_diversion_moves_the_file_of_the_other_package(tmp_path: Path) -> None:
    merged = _merge(
        tmp_path,
        Deb("vim-runtime", files=[text("usr/share/help.txt", "long")]),
        Deb("vim-tiny", files=[text("usr/share/help.txt", "short")]),
        diversions={"usr/share/help.txt": ("vim-runtime", "usr/share/help.txt.vim-tiny")},
    )
    assert merged.diverted == (("vim-tiny", "usr/share/help.txt", "usr/share/help.txt.vim-tiny"),)
    assert _owners(merged)["usr/share/help.txt"] == "vim-runtime"


def test_a_conflict_names_both_packages(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as raised:
        _merge(tmp_path, Deb("a", files=[text("usr/x", "1")]), Deb("b", files=[text("usr/x", "2")]))
    assert str(raised.value) == (
        "the packages a and b conflict at /usr/x: neither replaces the other\n"
        "  hint: remove one of them, or exclude it with -b"
    )


def test_a_file_below_a_link_is_refused(tmp_path: Path) -> None:
    link = Deb("link", files=[symlink("usr/lib/x", "/etc")], parents=False)
    through = Deb("through", files=[Item("usr/lib/x/passwd", b"root::0:0")], parents=False)
    with pytest.raises(ImageError, match="conflict at /usr/lib/x: through ships /usr/lib/x/passwd below it"):
        _merge(tmp_path, link, through)


def test_a_directory_and_a_file_at_one_path_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="a directory in one but not in the other"):
        _merge(tmp_path, Deb("a", files=[folder("usr/x")]), Deb("b", files=[text("usr/x", "")]))


def test_different_directory_modes_are_noted(tmp_path: Path) -> None:
    merged = _merge(tmp_path, Deb("a", files=[folder("srv/x", 0o700)]), Deb("b", files=[folder("srv/x")]))
    assert merged.notes == ("/srv/x is mode 0700 in a and 0755 in b; the first is used",)
    assert merged.tree.nodes["srv/x"].entry.mode == 0o700
