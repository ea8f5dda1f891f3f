"""When the slices of a release conflict, as a table: definitions, and what is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.errors import SliceError
from pumice.slices import closure
from pumice.slices.conflicts import find_conflicts
from pumice.slices.release import parse_release, read_files
from tests.support.slice_tables import CONFLICTS, Slices, write_slices
from tests.support.slices import list_problems, write_release


@pytest.mark.parametrize(("slices", "conflict"), CONFLICTS)
def test_conflicts(tmp_path: Path, slices: Slices, conflict: str) -> None:
    problems = list_problems(write_slices(tmp_path, {name: {**value} for name, value in slices.items()}))
    if not conflict:
        assert problems == []
    else:
        assert any(conflict in problem for problem in problems), problems
        assert all(problem.startswith("slices/") for problem in problems)


@pytest.mark.parametrize("slices", ["slices: {one: }\n", ""])
def test_an_unknown_archive_is_refused(tmp_path: Path, slices: str) -> None:
    folder = write_release(tmp_path, {"aa": f"package: aa\narchive: gone\n{slices}"})
    assert list_problems(folder) == ["slices/aa.yaml: aa names the unknown archive 'gone'"]


def test_only_the_selected_slices_can_conflict_on_request(tmp_path: Path) -> None:
    folder = write_slices(tmp_path, {"aa": {"one": "/x: "}, "bb": {"one": "/x: ", "two": "/y: "}})
    release, _ = parse_release(read_files(folder).contents)
    assert find_conflicts(release, closure.select(release, ["aa_one", "bb_two"])) == []
    assert len(find_conflicts(release, closure.select(release, ["aa_one", "bb_one"]))) == 1


def test_what_cannot_be_generated_counts_only_if_it_is_selected(tmp_path: Path) -> None:
    contents = "/x/**: {generate: later, arch: s390x}"
    folder = write_slices(tmp_path, {"aa": {"one": contents, "two": "/y: "}})
    release, problems = parse_release(read_files(folder).contents)
    assert (problems, find_conflicts(release)) == ([], [])
    assert len(closure.select(release, ["aa_two"], "amd64")) == 1
    with pytest.raises(SliceError, match=r"aa_one: /x/\*\*: 'generate' cannot be 'later'") as raised:
        closure.select(release, ["aa_one"], "amd64")
    assert raised.value.problems[0].where == "slices/aa.yaml:4:16"


def test_one_bad_pattern_does_not_flood_the_report(tmp_path: Path) -> None:
    slices: Slices = {f"pkg{number}": {"one": f"/usr/lib/f{number}: "} for number in range(100)}
    slices["zz"] = {"one": "/usr/lib/**: "}
    problems = list_problems(write_slices(tmp_path, slices))
    assert len(problems) == 21
    assert problems[-1].endswith(": 80 more conflicts on /usr/lib/**")


def test_patterns_that_need_too_many_comparisons_are_refused(tmp_path: Path) -> None:
    slices: Slices = {
        f"pkg{number}": {"one": f"/usr/lib/**/{'x*' * 140}{number}a{number}*: "} for number in range(40)
    }
    problems = list_problems(write_slices(tmp_path, slices))
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
