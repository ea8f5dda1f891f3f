from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pumice.errors import FormatError, PumiceError, TrustError
from pumice.formats.tar import Entry
from pumice.progress import Silent
from pumice.runtime import id_maps, prepared_tree
from pumice.runtime.container import IdMaps
from pumice.store.home import Home
from tests.support import images


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "store")


def leftovers(home: Home) -> list[Path]:
    return [*home.directory("tmp").iterdir(), *home.directory("trees").glob("*")]


def test_layers_become_one_tree_that_is_made_once(home: Home) -> None:
    image = images.make(
        home,
        [
            {"a/one": "1", "a/two": "2", "b/three": "3", "c": Entry("c", "symlink", 0o777, link="a")},
            {"a/.wh.two": "", "b/.wh..wh..opq": "", "b/four": b"4", "c": "no link any more"},
        ],
    )
    tree = prepared_tree.prepare(image, home, Silent())
    found = sorted(str(path.relative_to(tree.root)) for path in tree.root.rglob("*"))
    assert found == ["a", "a/one", "b", "b/four", "c"]
    assert (tree.root / "c").read_text() == "no link any more"
    assert stat.S_IMODE((tree.root / "b/four").stat().st_mode) == 0o755
    before = tree.root.stat().st_ino
    assert prepared_tree.prepare(image, home, Silent()).root.stat().st_ino == before
    assert [path.name for path in home.directory("trees").iterdir()] == [image.root.digest[7:]]
    assert list(home.directory("tmp").iterdir()) == []


def test_only_its_owner_may_enter_a_tree(home: Home) -> None:
    tree = prepared_tree.prepare(images.make(home, [{"a": "1"}]), home, Silent())
    assert stat.S_IMODE(tree.root.parent.stat().st_mode) == 0o700


def test_a_tree_of_an_earlier_boot_is_made_anew(home: Home) -> None:
    image = images.make(home, [{"a": "right"}])
    tree = prepared_tree.prepare(image, home, Silent())
    (tree.root / "a").write_text("")  # what a power cut can leave
    (tree.root.parent / "boot").write_text("another")
    assert (prepared_tree.prepare(image, home, Silent()).root / "a").read_text() == "right"
    assert list(home.directory("tmp").iterdir()) == []


HOSTILE = {
    "path": [(Entry("../../out", "file", 0o644, size=1), b"x")],
    "through a link": [
        (Entry("d", "symlink", 0o777, link="/"), b""),
        (Entry("d/tmp/pumice-out", "file", 0o644, size=1), b"x"),
    ],
    "up a link": [
        (Entry("d", "symlink", 0o777, link="../../.."), b""),
        (Entry("d/pumice-out", "file", 0o644, size=1), b"x"),
    ],
    "hard link out": [(Entry("h", "hardlink", 0o644, link="../../../etc/passwd"), b"")],
    "hard link to a link": [
        (Entry("d", "symlink", 0o777, link="/etc/passwd"), b""),
        (Entry("h", "hardlink", 0o644, link="d"), b""),
        (Entry("h2", "hardlink", 0o644, link="d/x"), b""),
    ],
    "whiteout": [(Entry("a/.wh...", "file", 0o644), b"")],
    "root is a file": [(Entry("", "file", 0o644, size=1), b"x")],
    "deep": [(Entry("/".join("d" * 2000), "file", 0o644), b"")],
    "owner": [(Entry("a", "file", 0o644, uid=1 << 33), b"")],
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_layer_is_refused_or_stays_inside(home: Home, tmp_path: Path, name: str) -> None:
    image = images.make(home, [{"a/b": "1"}, HOSTILE[name]])
    try:
        tree = prepared_tree.prepare(image, home, Silent())
    except PumiceError as error:
        assert isinstance(error, FormatError), error
        assert leftovers(home) == []
        return
    assert not Path("/tmp/pumice-out").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    for path in tree.root.rglob("*"):
        assert path.is_symlink() or path.resolve().is_relative_to(tree.root)


def test_layer_with_another_diff_id_than_in_the_config_is_rejected(home: Home) -> None:
    image = images.make(home, [{"a": "1"}], diff_ids=["sha256:" + "0" * 64])
    with pytest.raises(TrustError):
        prepared_tree.prepare(image, home, Silent())
    assert leftovers(home) == []


@pytest.mark.parametrize("maps", [None, IdMaps(helpers=True)])
def test_owners_that_cannot_be_set_are_saved_to_a_file(
    home: Home, monkeypatch: pytest.MonkeyPatch, maps: IdMaps | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    monkeypatch.setattr(id_maps, "subordinate_maps", lambda: maps)
    notes: list[str] = []

    class Listening(Silent):
        def note(self, message: str) -> None:
            notes.append(message)

    image = images.make(
        home,
        [
            {
                "own": Entry("own", "dir", 0o750, uid=33, gid=34),
                "set": Entry("set", "file", 0o4755),
                "plain": "x",
                "link": Entry("link", "symlink", 0o777, uid=5, link="plain"),
            }
        ],
    )
    tree = prepared_tree.prepare(image, home, Listening())
    assert tree.owners is not None
    assert tree.owners.read_text() == "5 0 777 link\x0033 34 750 own\x000 0 4755 set\0"
    sentence = (
        "3 files of the image have another owner than root, or set-id bits; "
        "they belong to you in the container, because you have no subordinate ids (subuid(5))"
    )
    assert notes == ([] if maps else [sentence])
    assert not (tree.root / "set").stat().st_mode & stat.S_ISUID


def test_unneeded_trees_are_removed_unless_in_use(home: Home) -> None:
    made = [images.make(home, [{str(number): Entry(str(number), "dir", 0o000)}]) for number in range(3)]
    trees = [prepared_tree.prepare(image, home, Silent()) for image in made]
    wanted = f"sha256:{trees[0].root.parent.name}"
    with prepared_tree.hold(made[1], home, Silent()) as held:
        assert held.root == trees[1].root
        assert prepared_tree.remove_unused(home, lambda digest: digest == wanted) == 1
        assert [tree.root.exists() for tree in trees] == [True, True, False]
    assert prepared_tree.remove_unused(home, lambda digest: digest == wanted) == 1
    assert [tree.root.exists() for tree in trees] == [True, False, False]
    assert list(home.directory("tmp").iterdir()) == []


@pytest.mark.parametrize("remade", [False, True])
def test_a_tree_that_a_collection_drops_before_it_is_held_is_made_again(
    home: Home, monkeypatch: pytest.MonkeyPatch, remade: bool
) -> None:
    image = images.make(home, [{"a": "content"}])
    opened = os.open
    collections = 0

    def open_after_a_collection(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        nonlocal collections
        place = home.root / "trees" / image.root.digest[7:]
        if str(path) != str(place) or collections:
            return opened(path, flags, *arguments, **named)
        collections += 1
        descriptor = opened(path, flags, *arguments, **named) if remade else -1
        assert prepared_tree.remove_unused(home, lambda _: False) == 1
        if not remade:
            return opened(path, flags, *arguments, **named)
        prepared_tree.prepare(image, home, Silent())
        return descriptor

    monkeypatch.setattr(os, "open", open_after_a_collection)
    with prepared_tree.hold(image, home, Silent()) as tree:
        assert collections == 1
        assert (tree.root / "a").read_text() == "content"
        assert prepared_tree.remove_unused(home, lambda _: False) == 0
        assert (tree.root / "a").read_text() == "content"
