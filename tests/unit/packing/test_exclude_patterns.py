"""Which paths of packages patterns exclude, compared with git."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumice.errors import ImageError
from pumice.packing import exclude_patterns, package_cutter
from pumice.packing.exclude_patterns import find_exclusions
from pumice.packing.exclusion import exclude_paths
from pumice.packing.selection import Selection
from pumice.recipe.model import ExcludeRule
from pumice.store.home import Home
from tests.support.deb import Deb, Item, folder, symlink, text
from tests.support.git import Git

if TYPE_CHECKING:
    from pumice.packing.segments import Segment

NAMES = ("a", "b", "ab", "a.so", "b.txt", "keep", "x~", "[a]", "star*", "café")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Git:
    return Git(tmp_path_factory.mktemp("git"))


def cut_segment(home: Home, *files: Item, **fields: Any) -> Segment:
    package = Deb("app", files=files, **fields)
    return package_cutter.cut_segment(
        io.BytesIO(package.build()), Selection(includes_dpkg_info=False), home.blobs
    )


def excluded_files(home: Home, patterns: list[str], paths: list[str]) -> set[str]:
    segment = cut_segment(home, *(text(path, "x") for path in paths))
    exclusions = find_exclusions([ExcludeRule(paths=tuple(patterns))], (), {"app": segment})
    return set(exclusions.packages["app"].files) if exclusions.packages else set()


_PATTERN = st.lists(
    st.sampled_from(
        ["**", "*", "a", "b", "ab", "a*", "?", "[ab]", "[^a]", "\\[", "/", "usr", "!", "keep", ".so"]
    ),
    min_size=1,
    max_size=7,
).map("".join)
_PATH = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(
    lambda components: "usr/" + "/".join(components)
)


@pytest.mark.peer("git")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_PATTERN, min_size=1, max_size=4), st.lists(_PATH, min_size=1, max_size=6, unique=True))
def test_the_files_that_git_ignores_are_excluded(
    home: Home, git: Git, patterns: list[str], paths: list[str]
) -> None:
    paths = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    assert (patterns, excluded_files(home, patterns, paths)) == (patterns, git.ignored(patterns, paths))


def test_matching_is_limited(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclude_patterns, "_MAX_STEPS", 10_000)
    segment = cut_segment(home, *(text(f"usr/{number}{'a' * 200}", "x") for number in range(20)))
    rule = ExcludeRule(paths=tuple(f"/usr/{'*a' * 240}{end}" for end in "bcdef"), where="recipe.yaml:3:5")
    with pytest.raises(ImageError) as caught:
        find_exclusions([rule], (), {"app": segment})
    assert str(caught.value) == (
        "recipe.yaml:3:5: the patterns of 'exclude' take too long to match\n"
        "  hint: start them with '/' and a directory, and use fewer wildcards"
    )


def test_deep_paths_are_matched_without_recursion(home: Home) -> None:
    path = "/".join(["d"] * 1500) + "/file"
    assert excluded_files(home, ["file"], [path]) == {path}
    assert excluded_files(home, ["/d/d/d/"], [path]) == {path}


def test_directories_go_only_if_nothing_is_left_in_them(home: Home) -> None:
    segment = cut_segment(
        home,
        text("usr/lib/app/plugins/a", "1"),
        folder("usr/lib/app/plugins/empty"),
        text("usr/lib/app/data/b", "1"),
        folder("usr/lib/app/other"),
        symlink("usr/lib/link", "app/plugins"),
    )

    def directories(*patterns: str) -> tuple[str, ...]:
        exclusions = find_exclusions([ExcludeRule(paths=patterns)], (), {"app": segment})
        return exclusions.packages["app"].directories if exclusions.packages else ()

    assert directories("/usr/lib/app/plugins/a") == ()
    assert directories("/usr/lib/app/plugins/**") == ("usr/lib/app/plugins", "usr/lib/app/plugins/empty")
    assert directories("/usr/lib/app/plugins/") == ("usr/lib/app/plugins", "usr/lib/app/plugins/empty")
    assert directories("empty") == ("usr/lib/app/plugins/empty",)
    assert directories("/usr/lib/app/data/b") == ("usr/lib/app/data",)
    assert directories("link") == ()
    assert directories("/usr/lib/app/*/*", "link") == (
        "usr/lib/app/data",
        "usr/lib/app/plugins",
        "usr/lib/app/plugins/empty",
    )


def test_an_excluded_segment_is_made_from_its_own_bytes(home: Home) -> None:
    segment = cut_segment(home, text("usr/a", "1"), text("usr/b", "2"))
    exclusions = find_exclusions([ExcludeRule(paths=("a",))], (), {"app": segment})
    smaller = exclude_paths(segment, exclusions.packages["app"], home.blobs)
    assert [item.entry.path for item in smaller.items] == ["usr/b"]
    assert smaller.blob == cut_segment(home, text("usr/b", "2")).blob
