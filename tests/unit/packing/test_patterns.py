"""Wildcards of file names, and the ignore rules of format 1."""

from __future__ import annotations

import pytest

from pumice.packing.patterns import Format1Ignore, component_matches, path_matches


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


def test_format_1_keeps_its_ignore_rules() -> None:
    """A lock of format 1 keeps giving the same image, although the rules differ from gitignore(5)."""
    assert not Format1Ignore(["\\#x"]).matches("#x", is_directory=False)
    assert Format1Ignore(["[^a]x"]).matches("ax", is_directory=False)
    assert Format1Ignore(["*.pyc", "!a.pyc"]).matches("b/c.pyc", is_directory=False)
    assert not Format1Ignore(["tmp/"]).matches("tmp", is_directory=False)


def test_many_stars_match_in_bounded_time() -> None:
    assert not Format1Ignore(["/".join(["**", "a"] * 200)]).matches("/".join("ab" * 200), is_directory=False)
    assert not Format1Ignore(["*a" * 60 + "b"]).matches("a" * 200, is_directory=False)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("a", "a", True),
        ("*", "a/b", False),
        ("*", ".a", False),
        (".*", ".a", True),
        ("**", "a/b/c", True),
        ("**", "a/.b/c", False),
        ("**/c", "c", True),
        ("**/c", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**/[cd].?", "a/x/y/c.h", True),
        ("a/**/[cd].?", "b/x/y/c.h", False),
    ],
)
def test_globs_match_whole_paths(pattern: str, path: str, *, matches: bool) -> None:
    assert path_matches(path.split("/"), pattern.split("/")) == matches
