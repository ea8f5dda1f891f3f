"""Releases from hostile sources: whatever they contain, they are refused with a place or read, and in time."""

from __future__ import annotations

import tarfile
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.errors import SliceError, StoreError, UsageError
from pumice.packing.path_patterns import matches, overlap
from pumice.slices import closure
from pumice.slices.conflicts import find_conflicts
from pumice.slices.manifest import read_manifest
from pumice.slices.release import load_release, parse_release
from pumice.slices.release_archive import read_archive
from pumice.slices.scripts import check_scripts
from tests.support.slices import list_problems, release_file, write_release

if TYPE_CHECKING:
    from pathlib import Path

NAMES = st.sampled_from(["tool", "other", "lib+x", "../x", "UPPER", "a", "tool_bins", ""])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 99999),
    st.sampled_from(
        ["/usr/bin/x", "/usr/**", "/a/*/b?", "/", "/x/", "manifest", "mutate", "amd64", "tool_bins"]
    ),
    st.text(max_size=12),
)
KEYS = st.sampled_from(
    [
        "package",
        "archive",
        "essential",
        "v3-essential",
        "slices",
        "contents",
        "mutate",
        "hint",
        "bins",
        "copy",
        "make",
        "text",
        "symlink",
        "mode",
        "mutable",
        "until",
        "arch",
        "generate",
        "prefer",
        "/usr/bin/x",
        "/x/**",
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=20,
)


def to_yaml(value: object) -> bytes:
    import yaml

    return yaml.safe_dump(value).encode()


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["v1", "v2", "v3"]), VALUES, NAMES)
def test_any_values_are_read_or_refused_with_their_place(
    release_format: str, value: object, name: str
) -> None:
    contents = {
        "chisel.yaml": release_file(release_format).encode(),
        "slices/tool.yaml": to_yaml(
            {"package": name, "slices": {"bins": value, "libs": {"contents": value}}}
        ),
        "slices/other.yaml": to_yaml(value),
    }
    release, problems = parse_release(contents)
    problems = problems or find_conflicts(release)
    assert all(problem.where for problem in problems)
    if not problems:
        closure.select(release, [item.full_name for item in release.all_slices()])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(first: bytes, second: bytes) -> None:
    _, problems = parse_release({"chisel.yaml": release_file().encode(), "slices/tool.yaml": first})
    assert all(problem.where for problem in problems)
    _, problems = parse_release({"chisel.yaml": second})
    assert problems


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000))
def test_any_archive_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "release.tar"
    path.write_bytes(data)
    try:
        read_archive(path)
    except SliceError as error:
        assert error.problems


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=300), VALUES.map(to_yaml)))
def test_any_manifest_is_read_or_refused(data: bytes) -> None:
    from pumice.errors import FormatError

    try:
        read_manifest(b'{"jsonwall":"1.0","schema":"1.0","count":2}\n' + data + b"\n")
    except FormatError:
        pass


EXPONENTIAL = [
    ("*a" * 30, "a" * 200),
    ("**" + "*a" * 60 + "b", "a" * 400),
    ("?*" * 100 + "x", "y" * 400),
    ("**/" * 60 + "x", "y/" * 200),
]


@pytest.mark.parametrize(("pattern", "text"), EXPONENTIAL, ids=range(len(EXPONENTIAL)))
def test_patterns_take_no_exponential_time(pattern: str, text: str) -> None:
    start = time.process_time()
    matches(f"/{pattern}", f"/{text}")
    overlap(f"/{pattern}", f"/{'*b' * 100}")
    assert time.process_time() - start < 20  # exponential time would be years


def test_a_cycle_over_many_packages_is_one_problem(tmp_path: Path) -> None:
    definitions = {
        f"pkg{number:03}": f"package: pkg{number:03}\nslices: {{all: {{essential: [pkg{(number + 1) % 500:03}_all]}}}}\n"
        for number in range(500)
    }
    (problem,) = list_problems(write_release(tmp_path, definitions))
    assert "slices require each other: pkg000_all, pkg001_all" in problem
    assert problem.endswith("…")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("x = [1]\nfor i in range(10):\n  x = x + x\n" * 3, ""),
        ("(" * 5000 + ")" * 5000, "nested"),
        ("import os", "import"),
        ("while True: pass", "while"),
        ("().__class__", "__class__"),
        ("lambda: 1", ""),
    ],
)
def test_scripts_that_are_no_starlark_are_refused_at_their_place(
    tmp_path: Path, script: str, message: str
) -> None:
    body = "".join(f"      {line}\n" for line in script.splitlines())
    text = f"package: tool\nslices:\n  bins:\n    contents: {{/x: }}\n    mutate: |\n{body}"
    release = load_release(write_release(tmp_path, {"tool": text}))
    try:
        check_scripts(release, list(release.all_slices()))
    except SliceError as error:
        assert "slices/tool.yaml:" in str(error.problems[0].where)
    else:
        assert not message or message == "__class__"  # found when it runs


def test_links_devices_and_paths_outside_are_refused(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "release", {})
    (folder / "slices/tool.yaml").symlink_to("/etc/passwd")
    with pytest.raises(SliceError, match="regular file"):
        load_release(folder)
    archive = tmp_path / "release.tar"
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        with tarfile.open(archive, "w") as tar:
            tar.add(folder / "chisel.yaml", "chisel.yaml")
            member = tarfile.TarInfo("slices/tool.yaml")
            member.type, member.linkname = kind, "../../etc/passwd"
            tar.addfile(member)
        with pytest.raises(SliceError):
            read_archive(archive)
    with pytest.raises(StoreError):
        load_release(tmp_path / "gone")


def test_an_archive_that_expands_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        member = tarfile.TarInfo("slices/tool.yaml")
        member.size = 300 << 20
        tar.addfile(member, _Zeros())
    with pytest.raises(SliceError, match="larger than"):
        read_archive(path)


class _Zeros:
    def read(self, size: int = -1) -> bytes:
        return bytes(size)


def test_a_slice_of_another_name_cannot_be_selected(tmp_path: Path) -> None:
    release = load_release(write_release(tmp_path, {"tool": "package: tool\nslices: {bins: }\n"}))
    for name in ("../tool_bins", "tool_", "_bins", "tool", "tool_bins_x", "\0", "x" * 10_000):
        with pytest.raises(UsageError):
            closure.select(release, [name])
