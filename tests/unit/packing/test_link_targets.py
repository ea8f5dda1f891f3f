from __future__ import annotations

import io
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from pumice.packing import package_cutter
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


def cut_segments(home: Home, *packages: Deb, lock_format: int = 2) -> dict[str, Segment]:
    selection = Selection(format=lock_format)
    return {
        package.name: package_cutter.cut_segment(io.BytesIO(package.build()), selection, home.blobs)
        for package in packages
    }


def test_a_file_is_kept_in_the_package_that_ships_it(home: Home) -> None:
    data = Deb("data", files=[text("usr/share/doc/data/table.txt", "1")])
    tool = Deb("tool", files=[symlink("usr/share/tool/table.txt", "../doc/data/table.txt")])
    for lock_format in (1, 2):
        targets = find_link_targets(cut_segments(home, data, tool), lock_format)
        assert targets == LinkTargets({"data": ("usr/share/doc/data/table.txt",)})


def test_of_a_shared_directory_only_the_directory_itself_is_kept(home: Home) -> None:
    package_segments = cut_segments(home, LINK, *PAGES)
    assert find_link_targets(package_segments, 2) == LinkTargets({}, ("usr/share/man",))
    assert find_link_targets(cut_segments(home, LINK, PAGES[0]), 2) == LinkTargets({}, ("usr/share/man",))


def test_a_directory_of_one_package_is_kept_with_its_content(home: Home) -> None:
    assert find_link_targets(cut_segments(home, LINK), 2) == LinkTargets({"npm": ("usr/share/man",)})
    bare = Deb("bare", files=[symlink("usr/share/bare/man", "../man")])
    assert find_link_targets(cut_segments(home, bare, PAGES[2]), 2) == LinkTargets(
        {"tar": ("usr/share/man",)}
    )


def test_a_package_also_ships_directories_without_entries(home: Home) -> None:
    bare = Deb("zz", files=[text("usr/share/man/man1/zz.1", "1")], parents=False)
    package_segments = cut_segments(home, LINK, bare)
    assert find_link_targets(package_segments, 2) == LinkTargets({}, ("usr/share/man",))


@pytest.mark.parametrize("lock_format", [1, 2])
def test_the_result_does_not_depend_on_the_order_of_packages(home: Home, lock_format: int) -> None:
    package_segments = cut_segments(home, LINK, *PAGES, lock_format=lock_format)
    first = find_link_targets(package_segments, lock_format)
    for names in permutations(package_segments):
        assert find_link_targets({name: package_segments[name] for name in names}, lock_format) == first


def test_a_shared_file_is_kept_in_the_replacing_package(home: Home) -> None:
    path = "usr/share/doc/shared/table.txt"
    old = Deb("aa", files=[text(path, "old")])
    new = Deb("bb", files=[text(path, "new")], fields={"Replaces": "aa (<< 2)"})
    tool = Deb("tool", files=[symlink("usr/share/tool/table.txt", "../doc/shared/table.txt")])
    assert find_link_targets(cut_segments(home, old, new, tool), 2).keep == {"bb": (path,)}


def test_an_existing_target_is_not_listed(home: Home) -> None:
    keeper = Deb(
        "keeper",
        files=[
            text("usr/share/doc/keeper/own.txt", "1"),
            hardlink("usr/lib/keeper/own.txt", "usr/share/doc/keeper/own.txt"),
        ],
    )
    linking_package = Deb("other", files=[symlink("usr/lib/other.txt", "../share/doc/keeper/own.txt")])
    assert find_link_targets(cut_segments(home, keeper, linking_package), 2) == LinkTargets({})


def test_a_kept_link_keeps_its_own_target(home: Home) -> None:
    package = Deb(
        "chain",
        files=[
            symlink("usr/lib/chain", "../share/doc/chain/first"),
            symlink("usr/share/doc/chain/first", "second"),
            text("usr/share/doc/chain/second", "2"),
        ],
    )
    assert cut_segments(home, package)["chain"].dropped == ()
    assert cut_segments(home, package, lock_format=1)["chain"].dropped == ("usr/share/doc/chain/second",)
