"""Patterns of paths against an independent definition: all short texts that they match."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.packing import path_patterns as patterns
from pumice.slices.pattern_tree import PatternTree, TreePath

TEXTS = ["".join(letters) for size in range(6) for letters in itertools.product("ab/", repeat=size)]
PATTERNS = st.lists(st.sampled_from(["a", "b", "/", "*", "?", "**"]), max_size=4).map("".join)


def expression(pattern: str) -> re.Pattern[str]:
    parts = {"?": "[^/]", "*": "[^/]*"}
    tokens = re.findall(r"\*\*+|.", pattern)
    return re.compile(
        "".join(".*" if token.startswith("**") else parts.get(token, token) for token in tokens)
    )


@given(PATTERNS)
def test_a_pattern_matches_what_its_regular_expression_matches(pattern: str) -> None:
    compiled = expression(pattern)
    for text in TEXTS:
        assert patterns.matches(pattern, text) == (compiled.fullmatch(text) is not None), text


@given(PATTERNS, PATTERNS)
def test_two_patterns_overlap_if_there_is_a_text_that_both_match(first: str, second: str) -> None:
    one, other = expression(first), expression(second)
    # Two patterns of at most 4 tokens have a common text of at most 8 characters; few need 6 or more.
    common = [text for text in TEXTS if one.fullmatch(text) and other.fullmatch(text)]
    if common:
        assert patterns.overlap(first, second), common
    elif len(first) + len(second) <= 5:
        assert not patterns.overlap(first, second)
    assert patterns.overlap(first, second) == patterns.overlap(second, first)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("/usr/lib/*-linux-*/**", "/usr/lib/libx.so.*", False),  # '**' needs the '/' before it
        ("/usr/lib/**", "/usr/lib/", True),
        ("/usr/lib/*", "/usr/lib/x/y", False),
        ("/usr/lib/*/", "/usr/lib/x/", True),
        ("/a?", "/ab", True),
        ("/a?", "/a/", False),
        ("/a**f/hij", "/abc/def/hij", True),
        ("/a**f/hij/klm", "/abc/d**m", True),
        ("/a*/*f", "/abc/def/hij", False),
        ("/**/*/ab", "/a?", False),
    ],
)
def test_overlap_table(first: str, second: str, expected: bool) -> None:
    assert patterns.overlap(first, second) is expected


def test_patterns_that_take_exponential_time_elsewhere_are_quick() -> None:
    assert not patterns.matches("/" + "*a" * 150, "/" + "a" * 200 + "b")
    assert not patterns.overlap("/" + "*a" * 120 + "b", "/" + "a*" * 120 + "c")
    assert patterns.overlap("/" + "**a" * 80, "/" + "a**" * 80)


COMPONENTS = st.sampled_from(["a", "b", "ab", "*", "a*", "*b", "?", "**", "a**", ""])
PATHS = st.lists(COMPONENTS, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@given(st.lists(st.tuples(PATHS, st.sampled_from("xyz")), max_size=8))
def test_the_tree_finds_the_pairs_that_comparing_all_finds(items: list[tuple[str, str]]) -> None:
    paths = [TreePath(path, owner, patterns.is_pattern(path)) for path, owner in dict.fromkeys(items)]
    expected = {
        frozenset({(one.path, one.owner), (other.path, other.owner)})
        for one, other in itertools.combinations(paths, 2)
        if one.owner != other.owner and one.path != other.path
        if (one.is_pattern or other.is_pattern) and patterns.overlap(one.path, other.path)
    }
    tree = PatternTree()
    for path in paths:
        tree.add(path)
    found = [frozenset({(one.path, one.owner), (other.path, other.owner)}) for one, other in tree.overlaps()]
    assert set(found) == expected
    assert len(found) == len(set(found))
