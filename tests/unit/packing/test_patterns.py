"""Wildcards of file names, and what format 1 ignored."""

from __future__ import annotations

import pytest

from pumice.packing.patterns import Format1Ignore, component_matches


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


def test_format_1_keeps_its_own_way_of_ignoring() -> None:
    """A lock of format 1 gives the same image for ever, wrong as it is."""
    assert not Format1Ignore(["\\#x"]).matches("#x", is_directory=False)
    assert Format1Ignore(["[^a]x"]).matches("ax", is_directory=False)
    assert Format1Ignore(["*.pyc", "!a.pyc"]).matches("b/c.pyc", is_directory=False)
    assert not Format1Ignore(["tmp/"]).matches("tmp", is_directory=False)


def test_a_row_of_stars_does_not_take_for_ever() -> None:
    assert not Format1Ignore(["/".join(["**", "a"] * 200)]).matches("/".join("ab" * 200), is_directory=False)
    assert not Format1Ignore(["*a" * 60 + "b"]).matches("a" * 200, is_directory=False)
