from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.formats import image_names


@given(st.text("ab0._-/A\n", max_size=12))
def test_functions_and_patterns_accept_the_same_texts(text: str) -> None:
    assert image_names.is_name(text) == bool(re.fullmatch(image_names.NAME, text))
    assert image_names.is_tag(text) == bool(re.fullmatch(image_names.TAG, text))


@pytest.mark.parametrize("length", [127, 128, 129])
def test_tags_have_at_most_128_characters(length: int) -> None:
    assert image_names.is_tag("x" * length) == bool(re.fullmatch(image_names.TAG, "x" * length))


@pytest.mark.parametrize(
    "text", ["a", "a/b", "example.com/a", "localhost/a", "localhost:5000/a/b", "Host/a", "a__b", "a--b/c.d"]
)
def test_names_with_and_without_a_host(text: str) -> None:
    assert image_names.is_full_name(text)


@pytest.mark.parametrize(
    "text",
    ["", "A", "a//b", "a/", "/a", "example..com/a", "-x.com/a", "x.com:/a", "x.com:1a/a", "a_-b", "a" * 256],
)
def test_what_is_not_a_name(text: str) -> None:
    assert not image_names.is_full_name(text)
