"""Paragraphs are read tolerantly, and written back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import deb822

CONTROL = """\
Package: hello
Description: greets
 A long text
 .
 that goes on
Conffiles:
 /etc/hello 0123
Empty:
"""


def test_a_paragraph_keeps_order_and_continuation_lines() -> None:
    fields = deb822.read_paragraph(CONTROL.encode())
    assert list(fields) == ["Package", "Description", "Conffiles", "Empty"]
    assert fields["Description"] == "greets\n A long text\n .\n that goes on"
    assert fields["Conffiles"] == "\n /etc/hello 0123"


def test_formatting_returns_the_original_text() -> None:
    assert deb822.format_paragraph(deb822.read_paragraph(CONTROL.encode())) == CONTROL


def test_paragraphs_are_separated_by_blank_lines_of_any_kind() -> None:
    data = b"\n\nA: 1\r\n \t\nB: 2\n\n\n"
    assert list(deb822.read_paragraphs(data)) == [{"A": "1"}, {"B": "2"}]


def test_comments_are_skipped_if_enabled() -> None:
    data = b"# hello\nA: 1\n# in between\n  two\n"
    assert list(deb822.read_paragraphs(data, comments=True)) == [{"A": "1\n  two"}]
    with pytest.raises(FormatError):
        list(deb822.read_paragraphs(data))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"A: 1\na: 2\n", "x:2: the field a appears twice"),
        (b" lonely\n", "x:1: a continuation line has no field before it"),
        (b"A: 1\nno colon\n", "x:2: expected a line of the form Name: value"),
        (b"A b: 1\n", "x:1: expected a line of the form Name: value"),
        (b"-A: 1\n", "x:1: expected a line of the form Name: value"),
        (b"A: 1\nB: \xff\n", "x:2: the text is not UTF-8"),
        (b"".join(b"F%d: 1\n" % n for n in range(1001)), "x:1001: a paragraph has more than 1000 fields"),
    ],
)
def test_refuses_malformed_text_with_its_line(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError) as caught:
        list(deb822.read_paragraphs(data, where="x"))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("data", [b"", b"\n\n", b"A: 1\n\nB: 2\n"])
def test_read_paragraph_requires_exactly_one(data: bytes) -> None:
    with pytest.raises(FormatError):
        deb822.read_paragraph(data)


NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":#-"), min_size=1)
LINES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)


@given(st.dictionaries(NAMES, st.lists(LINES, max_size=4), min_size=1, max_size=8))
def test_paragraphs_round_trip(values: dict[str, list[str]]) -> None:
    fields = {name: "\n ".join(lines) for name, lines in values.items()}
    if len({name.lower() for name in fields}) == len(fields):
        assert deb822.read_paragraph(deb822.format_paragraph(fields).encode()) == fields


@given(st.binary() | st.text(st.sampled_from("A:# \t\n\r-x")).map(str.encode))
def test_any_bytes_return_paragraphs_or_raise_format_error(data: bytes) -> None:
    try:
        for fields in deb822.read_paragraphs(data, comments=True):
            assert fields
    except PumiceError:
        pass
