from __future__ import annotations

import io
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from pumice.packing import segments
from pumice.packing.link_targets import LinkTargets, find_link_targets
from pumice.packing.selection import Selection
from pumice.store.home import Home
from tests.support.deb import Deb, hardlink, symlink, text

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.packing.segments import Segment

LINK = Deb("npm", files=[symlink("usr/share/npm/man", "../man"), text("usr/share/man/man7/npm.7", "7")])
PAGES = [Deb(name, files=[text(f"usr/share/man/man1/{name}.1", name)]) for name in ("grep", "sed", "tar")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def cut(home: Home, *packages: Deb, lock_format: int = 2) -> dict[str, Segment]:
    selection = Selection(format=lock_format)
    return {
        package.name: segments.cut_segment(io.BytesIO(package.build()), selection, home.blobs)
        for package in packages
    }


def test_a_file_stays_in_the_package_that_ships_it(home: Home) -> None:
    data = Deb("data", files=[text("usr/share/doc/data/table.txt", "1")])
    tool = Deb("tool", files=[symlink("usr/share/tool/table.txt", "../doc/data/table.txt")])
    for lock_format in (1, 2):
        found = find_link_targets(cut(home, data, tool), lock_format)
        assert found == LinkTargets({"data": ("usr/share/doc/data/table.txt",)})


def test_of_a_directory_that_several_ship_only_the_directory_stays(home: Home) -> None:
    parts = cut(home, LINK, *PAGES)
    assert find_link_targets(parts, 2) == LinkTargets({}, ("usr/share/man",))
    assert find_link_targets(cut(home, LINK, PAGES[0]), 2) == LinkTargets({}, ("usr/share/man",))


def test_a_directory_that_one_package_ships_stays_there_with_all_that_is_in_it(home: Home) -> None:
    assert find_link_targets(cut(home, LINK), 2) == LinkTargets({"npm": ("usr/share/man",)})
    bare = Deb("bare", files=[symlink("usr/share/bare/man", "../man")])
    assert find_link_targets(cut(home, bare, PAGES[2]), 2) == LinkTargets({"tar": ("usr/share/man",)})


def test_a_package_without_entries_for_its_directories_ships_them_too(home: Home) -> None:
    bare = Deb("zz", files=[text("usr/share/man/man1/zz.1", "1")], parents=False)
    parts = cut(home, LINK, bare)
    assert find_link_targets(parts, 2) == LinkTargets({}, ("usr/share/man",))


@pytest.mark.parametrize("lock_format", [1, 2])
def test_the_order_of_the_packages_says_nothing(home: Home, lock_format: int) -> None:
    parts = cut(home, LINK, *PAGES, lock_format=lock_format)
    first = find_link_targets(parts, lock_format)
    for names in permutations(parts):
        assert find_link_targets({name: parts[name] for name in names}, lock_format) == first


def test_a_file_that_two_packages_ship_stays_in_the_one_that_replaces_the_other(home: Home) -> None:
    path = "usr/share/doc/shared/table.txt"
    old = Deb("aa", files=[text(path, "old")])
    new = Deb("bb", files=[text(path, "new")], fields={"Replaces": "aa (<< 2)"})
    tool = Deb("tool", files=[symlink("usr/share/tool/table.txt", "../doc/shared/table.txt")])
    assert find_link_targets(cut(home, old, new, tool), 2).keep == {"bb": (path,)}


def test_what_is_there_anyway_needs_nothing(home: Home) -> None:
    keeper = Deb(
        "keeper",
        files=[
            text("usr/share/doc/keeper/own.txt", "1"),
            hardlink("usr/lib/keeper/own.txt", "usr/share/doc/keeper/own.txt"),
        ],
    )
    other = Deb("other", files=[symlink("usr/lib/other.txt", "../share/doc/keeper/own.txt")])
    assert find_link_targets(cut(home, keeper, other), 2) == LinkTargets({})


def test_links_that_are_kept_keep_their_targets_too(home: Home) -> None:
    package = Deb(
        "chain",
        files=[
            symlink("usr/lib/chain", "../share/doc/chain/first"),
            symlink("usr/share/doc/chain/first", "second"),
            text("usr/share/doc/chain/second", "2"),
        ],
    )
    assert cut(home, package)["chain"].dropped == ()
    assert cut(home, package, lock_format=1)["chain"].dropped == ("usr/share/doc/chain/second",)
