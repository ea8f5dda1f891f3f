from __future__ import annotations

from pathlib import Path

from pumice.publish import oci_tree, unreferenced
from tests.support.memory_tree import MemoryTree, find_missing
from tests.unit.publish.test_oci_tree import publish, signed, small

HOUR = 3600


def test_what_tags_lead_to_is_needed_with_all_signatures(tmp_path: Path) -> None:
    tree = MemoryTree()
    publish(tree, signed(tmp_path / "image", 0, 1))
    assert unreferenced.find_unreferenced(tree, tree.list_files()) == set()


def test_an_old_version_is_removed_only_after_the_grace_period(tmp_path: Path) -> None:
    tree = MemoryTree()
    publish(tree, signed(tmp_path / "old", 0))
    old = set(tree.files)
    publish(tree, small(b"new"))
    first = unreferenced.remove_unreferenced(tree, 1000, 24 * HOUR)
    assert first.files == 0
    assert first.waiting > 0
    assert old <= set(tree.files)
    assert unreferenced.remove_unreferenced(tree, 1000 + 24 * HOUR - 1, 24 * HOUR).files == 0
    last = unreferenced.remove_unreferenced(tree, 1000 + 24 * HOUR, 24 * HOUR)
    assert last == unreferenced.Removed(first.waiting, last.size, 0)
    assert find_missing(tree) == []
    fresh = MemoryTree()
    publish(fresh, small(b"new"))
    assert tree.list_files() == fresh.list_files()


def test_publishing_notes_what_is_no_longer_needed() -> None:
    tree = MemoryTree()
    publish(tree, small(b"old"))
    publish(tree, small(b"new"))
    unreferenced.note_unreferenced(tree, 1000)
    assert unreferenced.remove_unreferenced(tree, 1000 + HOUR, HOUR).waiting == 0
    assert unreferenced.find_unreferenced(tree, tree.list_files()) == set()


def test_what_is_needed_again_is_kept_and_waits_anew() -> None:
    tree = MemoryTree()
    publish(tree, small(b"old"))
    publish(tree, small(b"new"))
    unreferenced.note_unreferenced(tree, 0)
    publish(tree, small(b"old"))
    unreferenced.note_unreferenced(tree, HOUR)
    publish(tree, small(b"new"))
    assert unreferenced.remove_unreferenced(tree, 2 * HOUR, HOUR).files == 0
    assert find_missing(tree) == []


def test_a_whole_repository_disappears_with_its_last_tag() -> None:
    tree = MemoryTree()
    publish(tree, small())
    publish(tree, small(b"other"), "other")
    oci_tree.remove_tag(tree, "app", "1.0")
    unreferenced.remove_unreferenced(tree, 0, 0)
    assert not any(path.startswith("v2/app/") for path in tree.files)
    assert find_missing(tree) == []


def test_damaged_notes_start_the_grace_period_again() -> None:
    tree = MemoryTree()
    publish(tree, small(b"old"))
    publish(tree, small(b"new"))
    tree.files[unreferenced.NOTES] = ("application/json", b'{"v2": "x"')
    assert unreferenced.remove_unreferenced(tree, 1000, HOUR).files == 0


def test_a_time_in_the_future_does_not_extend_the_grace_period() -> None:
    tree = MemoryTree()
    publish(tree, small(b"old"))
    publish(tree, small(b"new"))
    unreferenced.note_unreferenced(tree, 1_000_000)
    unreferenced.note_unreferenced(tree, 1000)
    assert unreferenced.remove_unreferenced(tree, 1000 + HOUR, HOUR).waiting == 0
