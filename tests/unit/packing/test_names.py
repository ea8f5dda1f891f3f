"""Valid entry names, and the refusal of invalid ones by every writer of layers."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import ImageError
from pumice.formats.tar import Entry
from pumice.packing import compose, names, package_cutter
from pumice.packing.compose import LayerCache, LayerEntry
from pumice.packing.effects.model import file_entry
from pumice.packing.effects.overlay_tree import OverlayTree
from pumice.packing.recipe_entries import collect_entries
from pumice.packing.selection import Selection
from pumice.packing.tree import Tree
from pumice.recipe.model import FileRule
from pumice.store.home import Home
from tests.support.deb import Deb, Item, folder, text

INVALID_NAMES = [
    "etc/.wh.passwd",
    ".wh..wh..opq",
    "app/.wh.dir/file",
    "x" * 256,
    "ä" * 128,
    "/".join(["d" * 63] * 66),
]
INVALID_PATHS = ["a/../b", "..", ".", "a//b", "nul\0", "bad\udcff"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.mark.parametrize("path", [*INVALID_NAMES, *INVALID_PATHS])
def test_an_invalid_name_has_a_reason(path: str) -> None:
    assert names.find_name_flaw(path)
    with pytest.raises(ImageError, match=r"^cannot add '/") as caught:
        names.check_entry_name(Entry(path, "file", 0o644))
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "path",
    ["", "a.wh.b/x.wh.", ".who", "..a/b..", "...", "ä" * 127, "x" * 255, "usr/lib/[ \\x", "Icon\r", "a\nb"],
)
def test_unusual_names_are_valid(path: str) -> None:
    assert names.find_name_flaw(path) is None


@given(st.lists(st.text(min_size=1, max_size=70), min_size=1, max_size=4).map("/".join))
def test_the_quick_search_misses_no_invalid_name(path: str) -> None:
    assert names.find_name_flaw(path) == names._find_path_flaw(path)


@pytest.mark.parametrize("path", INVALID_NAMES)
@pytest.mark.parametrize("kind", ["file", "dir"])
@pytest.mark.parametrize("has_own_layer", [True, False])
def test_a_package_with_an_invalid_name_is_refused(
    home: Home, path: str, kind: str, has_own_layer: bool
) -> None:
    package_file = folder(path) if kind == "dir" else text(path, "x")
    package = Deb(
        "bad", files=[package_file, Item(f"{path}/below", b"x")] if kind == "dir" else [package_file]
    )
    with pytest.raises(
        ImageError, match=re.escape(names.quote_path(path.removesuffix("/file"))[:20].rstrip("'"))
    ):
        package_cutter.cut_segment(
            io.BytesIO(package.build()),
            Selection(has_own_layer=has_own_layer, includes_dpkg_info=False),
            home.blobs,
        )


@pytest.mark.parametrize("path", INVALID_NAMES)
def test_generated_entries_with_an_invalid_name_are_refused(home: Home, path: str) -> None:
    with pytest.raises(ImageError, match="cannot add"):
        compose.write_chunk([LayerEntry(entry=Entry(path, "file", 0o644))], home.blobs)
    chunk = compose.write_chunk([LayerEntry(entry=Entry(path, "dir", 0o755))], home.blobs)
    cache = LayerCache(lambda _key: None, lambda _key, _layer: None)
    with pytest.raises(ImageError, match="cannot add"):
        compose.compose_layer([chunk], {}, home.blobs, cache)


@pytest.mark.parametrize("path", INVALID_NAMES)
def test_an_overlay_refuses_invalid_names(path: str) -> None:
    overlay = OverlayTree(Tree({}, lambda _path: b""), "effect:test")
    assert not overlay.make_directory(f"/{path}/x")
    overlay.put(file_entry("a", b"", "effect:test"))
    assert not overlay.rename("/a", f"/{path}")


@pytest.mark.parametrize("name", [".wh.data.txt", ".wh.\n", ".wh..wh..opq"])
def test_a_copied_file_with_an_invalid_name_is_refused_with_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / name).write_text("x")
    rule = FileRule(source="app", to="/app", where="recipe.yaml:5:5")
    with pytest.raises(ImageError) as caught:
        list(collect_entries([rule], tmp_path, lambda _: (0, 0)))
    assert names.quote_path(f"app/{name}") in caught.value.message
    assert caught.value.where == "recipe.yaml:5:5"
    assert caught.value.hint == "rename it, or exclude it with 'ignore'"
    assert caught.value.exit_code == 10
    ignoring = FileRule(source="app", to="/app", where="recipe.yaml:5:5", ignore=("*",))
    assert [
        recipe_entry.entry.path for recipe_entry in collect_entries([ignoring], tmp_path, lambda _: (0, 0))
    ] == ["app"]


@pytest.mark.parametrize(
    "rule",
    [
        FileRule(to="/etc/.wh.passwd", text="x"),
        FileRule(to="/etc/.wh.passwd", link="x"),
        FileRule(to="/etc/.wh.d", directory=True),
        FileRule(to="/" + "x" * 256, text="x"),
    ],
)
def test_a_rule_with_an_invalid_destination_is_refused(tmp_path: Path, rule: FileRule) -> None:
    with pytest.raises(ImageError, match="cannot add") as caught:
        list(collect_entries([rule], tmp_path, lambda _: (0, 0)))
    assert caught.value.hint == "use another name in 'to'"
