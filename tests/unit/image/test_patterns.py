"""Wildcards and ignore lists, against git where there is something to compare with."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.image.patterns import Ignore, component_matches


@pytest.mark.parametrize(
    ("name", "pattern", "matches"),
    [
        ("a.py", "*.py", True),
        ("a.pyc", "*.py", False),
        (".a.py", "*.py", False),
        (".a.py", ".*.py", True),
        ("ab", "?b", True),
        ("b", "[a-c]", True),
        ("b", "[!a-c]", False),
        ("a\nb", "a*", True),
    ],
)
def test_a_component_matches(name: str, pattern: str, matches: bool) -> None:
    assert component_matches(name, pattern) is matches


@pytest.mark.parametrize(
    ("patterns", "path", "ignored"),
    [
        (["*.pyc"], "a/b/c.pyc", True),
        (["/a"], "a", True),
        (["/a"], "b/a", False),
        (["a/b"], "a/b", True),
        (["a/b"], "c/a/b", False),
        (["**/a/b"], "c/a/b", True),
        (["a/**/b"], "a/b", True),
        (["a/**/b"], "a/x/y/b", True),
        (["a/**"], "a", False),
        (["a/**"], "a/x/y", True),
        (["tmp/"], "tmp", False),
        (["*.txt", "!keep.txt"], "keep.txt", False),
        (["!keep.txt", "*.txt"], "keep.txt", True),
        ([".*"], ".git", True),
        (["*"], ".git", True),
        ([], "a", False),
    ],
)
def test_a_file_is_ignored(patterns: list[str], path: str, ignored: bool) -> None:
    assert Ignore(patterns)(path, is_directory=False) is ignored


def test_a_final_slash_means_folders_only() -> None:
    assert Ignore(["tmp/"])("a/tmp", is_directory=True)


def test_a_row_of_stars_does_not_take_for_ever() -> None:
    assert not Ignore(["/".join(["**", "a"] * 200)])("/".join("ab" * 200), is_directory=False)
    assert not Ignore(["*a" * 60 + "b"])("a" * 200, is_directory=False)


_PART = st.text("ab.", min_size=1, max_size=3).filter(lambda part: part.strip("."))
_GLOB = st.sampled_from(["*", "**", "a", "b", "a*", "?", "[ab]", ".a", "*.b"])
_PATTERN = st.builds(
    lambda bang, head, parts, tail: bang + head + "/".join(parts) + tail,
    st.sampled_from(["", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(_GLOB, min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@pytest.mark.peer("git")
@settings(max_examples=60)
@given(st.lists(_PATTERN, min_size=1, max_size=3), st.lists(_PART, min_size=1, max_size=3).map("/".join))
def test_git_ignores_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str], path: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "git"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_text("")
    (folder / ".gitignore").write_text("\n".join(patterns) + "\n")
    subprocess.run(["git", "init", "-q", folder], check=True)
    said = subprocess.run(["git", "-C", folder, "check-ignore", "-q", path], check=False).returncode == 0
    assert _ignored(Ignore(patterns), Path(path)) is said


def _ignored(ignore: Ignore, path: Path) -> bool:
    above = [parent for parent in reversed(path.parents) if parent != Path()]
    if any(ignore(str(parent), is_directory=True) for parent in above):
        return True
    return ignore(str(path), is_directory=False)
