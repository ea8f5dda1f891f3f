"""When the slices of a release conflict, as a table: definitions, and what is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.slices import closure
from pumice.slices.conflicts import find_conflicts
from pumice.slices.release import parse_release, read_files
from tests.support.slices import list_problems, write_release

Slices = dict[str, dict[str, str]]


def write(folder: Path, slices: Slices) -> Path:
    """Write a release; ``slices`` are by package, and then the contents of each, in YAML's flow style."""
    return write_release(
        folder,
        {
            package: f"package: {package}\nslices:\n"
            + "".join(f"  {name}:\n    contents: {{{contents}}}\n" for name, contents in by_name.items())
            for package, by_name in slices.items()
        },
    )


@pytest.mark.parametrize(
    ("slices", "conflict"),
    [
        # The same path
        ({"aa": {"one": "/x: ", "two": "/x: "}}, ""),
        ({"aa": {"one": "/x: "}, "bb": {"one": "/x: "}}, "slices aa_one and bb_one conflict on /x"),
        ({"aa": {"one": "/x: {text: a}"}, "bb": {"one": "/x: {text: a}"}}, ""),
        ({"aa": {"one": "/x/: {make: true}"}, "bb": {"one": "/x/: {make: true}"}}, ""),
        (
            {"aa": {"one": "/x: {text: a}"}, "bb": {"one": "/x: {text: b}"}},
            "aa_one and bb_one conflict on /x",
        ),
        ({"aa": {"one": "/x: {text: a}", "two": "/x: "}}, "slices aa_one and aa_two conflict on /x"),
        (
            {"aa": {"one": "/x: {text: a, mode: 0600}", "two": "/x: {text: a}"}},
            "aa_one and aa_two conflict on /x",
        ),
        ({"aa": {"one": "/x: {until: mutate}", "two": "/x: "}}, ""),
        ({"aa": {"one": "/x: {mutable: true}", "two": "/x: "}}, "slices aa_one and aa_two conflict on /x"),
        # Patterns
        ({"aa": {"one": "/x/*: ", "two": "/x/y: "}}, ""),
        ({"aa": {"one": "/x/*: "}, "bb": {"one": "/x/y: "}}, "aa_one and bb_one conflict on /x/* and /x/y"),
        ({"aa": {"one": "/x/*: "}, "bb": {"one": "/x/y/z: "}}, ""),
        (
            {"aa": {"one": "/x/**: "}, "bb": {"one": "/x/*/z: "}},
            "aa_one and bb_one conflict on /x/** and /x/*/z",
        ),
        ({"aa": {"one": "/x/**: "}, "bb": {"one": "/x/: "}}, "aa_one and bb_one conflict on /x/** and /x/"),
        ({"aa": {"one": "/x/**: "}, "bb": {"one": "/x/**: "}}, "slices aa_one and bb_one conflict on /x/**"),
        (
            {"aa": {"one": "/x/**: ", "two": "/x/y: {text: a}"}},
            "aa_one and aa_two conflict on /x/** and /x/y",
        ),
        ({"aa": {"one": "/x/**: , /x/y: {symlink: a}"}}, "slices aa_one and aa_one conflict on "),
        (
            {"aa": {"one": "/x/**: {generate: manifest}", "two": "/x/y: "}},
            "aa_one and aa_two conflict on /x/**",
        ),
        ({"aa": {"one": "/x/**: {generate: manifest}"}, "bb": {"one": "/x/**: {generate: manifest}"}}, ""),
        # prefer
        ({"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: "}}, ""),
        ({"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: {text: a}"}}, ""),
        ({"aa": {"one": "/x: {prefer: cc}"}}, "'prefer' names the unknown package 'cc'"),
        ({"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/y: "}}, "aa prefers bb, which does not have /x"),
        (
            {"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: {prefer: aa}"}},
            "aa is in a loop of 'prefer' for /x",
        ),
        (
            {"aa": {"one": "/x: {prefer: cc}"}, "bb": {"one": "/x: {prefer: cc}"}, "cc": {"one": "/x: "}},
            "aa and bb both prefer cc for /x",
        ),
        (
            {"aa": {"one": "/x: {prefer: bb}", "two": "/x: {prefer: cc}"}, "bb": {"one": "/x: "}, "cc": {}},
            "aa prefers both bb and cc for /x",
        ),
        (
            {"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: {prefer: cc}"}, "cc": {"one": "/x: "}},
            "",
        ),
        (
            {"aa": {"one": "/x: {prefer: bb}"}, "bb": {"one": "/x: "}, "cc": {"one": "/x: "}},
            "conflict on /x: neither package is preferred",
        ),
    ],
)
def test_conflicts(tmp_path: Path, slices: Slices, conflict: str) -> None:
    problems = list_problems(write(tmp_path, {name: {**value} for name, value in slices.items()}))
    if not conflict:
        assert problems == []
    else:
        assert any(conflict in problem for problem in problems), problems
        assert all(problem.startswith("slices/") for problem in problems)


def test_an_unknown_archive_is_refused(tmp_path: Path) -> None:
    folder = write_release(tmp_path, {"aa": "package: aa\narchive: gone\nslices: {one: }\n"})
    assert list_problems(folder) == ["slices/aa.yaml: aa names the unknown archive 'gone'"]


def test_only_the_selected_slices_can_conflict_on_request(tmp_path: Path) -> None:
    folder = write(tmp_path, {"aa": {"one": "/x: "}, "bb": {"one": "/x: ", "two": "/y: "}})
    release, _ = parse_release(read_files(folder).contents)
    assert find_conflicts(release, closure.select(release, ["aa_one", "bb_two"])) == []
    assert len(find_conflicts(release, closure.select(release, ["aa_one", "bb_one"]))) == 1


def test_one_bad_pattern_does_not_flood_the_report(tmp_path: Path) -> None:
    slices: Slices = {f"pkg{number}": {"one": f"/usr/lib/f{number}: "} for number in range(100)}
    slices["zz"] = {"one": "/usr/lib/**: "}
    problems = list_problems(write(tmp_path, slices))
    assert len(problems) == 21
    assert problems[-1].endswith(": 80 more conflicts on /usr/lib/**")


def test_patterns_that_need_too_many_comparisons_are_refused(tmp_path: Path) -> None:
    slices: Slices = {
        f"pkg{number}": {"one": f"/usr/lib/**/{'x*' * 140}{number}a{number}*: "} for number in range(40)
    }
    problems = list_problems(write(tmp_path, slices))
    assert any("too many overlapping patterns" in problem for problem in problems)


def test_the_order_is_that_of_the_requirements(tmp_path: Path) -> None:
    text = "package: aa\nslices:\n  one: {essential: [aa_two, aa_three]}\n  two: {essential: [aa_three]}\n  three:\n"
    release, _ = parse_release(read_files(write_release(tmp_path, {"aa": text})).contents)
    names = [item.name for item in closure.select(release, ["aa_one"])]
    assert names == ["three", "two", "one"]


def test_a_long_chain_of_requirements_needs_no_recursion(tmp_path: Path) -> None:
    lines = "".join(f"  s{number:05}: {{essential: [aa_s{number + 1:05}]}}\n" for number in range(3000))
    text = f"package: aa\nslices:\n{lines}  s03000: \n"
    release, problems = parse_release(read_files(write_release(tmp_path, {"aa": text})).contents)
    assert (problems, find_conflicts(release)) == ([], [])
    assert len(closure.select(release, ["aa_s00000"])) == 3001
