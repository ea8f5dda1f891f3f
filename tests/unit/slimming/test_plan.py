"""What an image can go without, as packages and patterns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pumice.formats.gitignore import IgnorePatterns
from pumice.formats.yaml import read_document
from pumice.slimming.plan import (
    PackageFile,
    SlimPackage,
    SlimPattern,
    SlimPlan,
    escape_pattern,
    find_removable,
    plan_exclusions,
)
from pumice.slimming.recipe_text import format_recipe
from pumice.slimming.size_tree import make_size_tree


def files(package: str, **sizes: int) -> list[PackageFile]:
    return [PackageFile(path.replace("__", "/"), package, size) for path, size in sizes.items()]


def test_a_directory_of_which_nothing_stays_is_one_pattern() -> None:
    plan = plan_exclusions(
        files("lib", usr__lib__a=9000, usr__lib__gconv__x=5000, usr__lib__gconv__y=5000, usr__lib__z=100),
        {"usr/lib/a"},
        (),
        total=20_000,
    )
    assert plan.patterns == (SlimPattern(package="lib", pattern="/usr/lib/gconv/", files=2, size=10_000),)
    assert (plan.small_files, plan.small_size, plan.saved_size) == (1, 100, 10_000)


def test_a_file_next_to_one_that_stays_is_a_pattern_of_its_own() -> None:
    plan = plan_exclusions(files("p", usr__bin__a=9000, usr__bin__b=8000), {"usr/bin/b"}, (), total=1)
    assert [item.pattern for item in plan.patterns] == ["/usr/bin/a"]


def test_copyrights_and_the_files_of_dpkg_are_never_left_out() -> None:
    paths = files("p", usr__share__doc__p__copyright=9000, var__lib__dpkg__info__p=9000)
    assert plan_exclusions(paths, (), (), total=1).patterns == ()


def test_a_package_goes_as_a_whole_if_it_can() -> None:
    plan = plan_exclusions(files("gone", usr__x=10, usr__y=20), (), {"gone"}, total=30)
    assert plan.packages == (SlimPackage(package="gone", files=2, size=30),)


def test_packages_that_bring_reached_ones_stay() -> None:
    fields = {
        "app": {"Depends": "meta, unused"},
        "meta": {"Depends": "library"},
        "library": {"Depends": "data"},
        "data": {},
        "unused": {"Depends": "deep"},
        "deep": {},
    }
    assert find_removable(fields, {"app"}, {"app", "library"}, recommends=False) == {"data", "unused", "deep"}


@given(st.text(st.characters(codec="utf-8", exclude_characters="/\0\n\r"), min_size=1))
def test_an_escaped_path_matches_itself(name: str) -> None:
    if name in (".", ".."):
        return
    index, is_excluded = IgnorePatterns([f"/usr/{escape_pattern(name)}"]).find_deciding_pattern(
        f"usr/{name}", is_directory=False
    )
    assert (index, is_excluded) == (0, True)


def test_the_recipe_is_yaml_even_for_strange_paths() -> None:
    pattern = SlimPattern(package="p", pattern='/usr/[a] "b": #c', files=1, size=5_000_000)
    plan = SlimPlan(
        size=1,
        reached_size=1,
        packages=(SlimPackage(package="gone", files=1, size=5),),
        patterns=(pattern,),
    )
    text = format_recipe("../base.yaml", plan, "comment")
    assert 'extend: "../base.yaml"' in text
    assert '      - "/usr/[a] \\"b\\": #c"' in text
    assert read_document(text.encode(), "recipe.yaml").root is not None


def test_sizes_are_added_up_by_directory() -> None:
    tree = make_size_tree([("usr/a/x", 5), ("usr/b", 7), ("usr/a/y", 1)], 2)
    assert (tree.path, tree.size, tree.files) == ("/", 13, 3)
    assert [(item.path, item.size) for item in tree.below[0].below] == [("/usr/b", 7), ("/usr/a", 6)]
