"""YAML with positions: what is read, what is refused, and that nothing escapes as another error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.formats import yaml
from pumice.formats.yaml import Mapping, Node, Scalar, Sequence


def to_plain_value(node: Node | None) -> object:
    if isinstance(node, Mapping):
        return {key.text: to_plain_value(value) for key, value in node.items}
    if isinstance(node, Sequence):
        return [to_plain_value(child) for child in node.items]
    return None if node is None else node.text


def read_valid(text: str) -> Node:
    document = yaml.read_document(text.encode(), "r.yaml")
    assert [str(problem) for problem in document.problems] == []
    assert document.root is not None
    return document.root


def problems(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [f"{problem.where}: {problem.message}" for problem in yaml.read_document(data, "r.yaml").problems]


def test_scalars_keep_their_text() -> None:
    assert to_plain_value(read_valid("a: 1.10\nb: no\nc: 0755\nd: 22:22\ne: ~\nf: 2001-01-01\n")) == {
        "a": "1.10",
        "b": "no",
        "c": "0755",
        "d": "22:22",
        "e": "~",
        "f": "2001-01-01",
    }


def test_locations_start_at_one_and_count_characters() -> None:
    root = read_valid("é: x\nlist:\n  - 'ä'\n  - {b: c}\n")
    assert isinstance(root, Mapping)
    assert [yaml.format_location(key) for key, _ in root.items] == ["r.yaml:1:1", "r.yaml:2:1"]
    sequence = root.items[1][1]
    assert isinstance(sequence, Sequence)
    assert [yaml.format_location(child) for child in sequence.items] == ["r.yaml:3:5", "r.yaml:4:5"]


def test_records_whether_a_scalar_is_plain() -> None:
    root = read_valid("[a, 'b', \"c\", '']")
    assert isinstance(root, Sequence)
    assert [child.is_plain for child in root.items if isinstance(child, Scalar)] == [
        True,
        False,
        False,
        False,
    ]


def test_block_scalars_keep_their_lines() -> None:
    assert to_plain_value(read_valid("a: |\n  one\n  two\nb: >-\n  one\n  two\n")) == {
        "a": "one\ntwo\n",
        "b": "one two",
    }


def test_a_byte_order_mark_is_skipped() -> None:
    assert to_plain_value(read_valid("\ufeffa: b")) == {"a": "b"}


def test_aliases_are_expanded() -> None:
    assert to_plain_value(read_valid("a: &x [1, 2]\nb: *x\n")) == {"a": ["1", "2"], "b": ["1", "2"]}


def test_a_merge_key_has_no_special_meaning() -> None:
    assert to_plain_value(read_valid("<<: {a: b}")) == {"<<": {"a": "b"}}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n...\n"])
def test_an_empty_document_has_no_tree(text: str) -> None:
    document = yaml.read_document(text.encode(), "r.yaml")
    assert document.problems == ()
    assert document.root is None or to_plain_value(document.root) == ""


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml:3:1: duplicate key 'a', first used in line 1"),
        ("a: !!str 1", "r.yaml:1:4: the tag 'tag:yaml.org,2002:str' is not allowed"),
        ("a: !x {}", "r.yaml:1:4: the tag '!x' is not allowed"),
        ("--- a\n--- b", "r.yaml:2:1: a second document starts here"),
        ("{[a]: b}", "r.yaml:1:2: a key must be a string, not a list or map"),
        ("a: *x", "r.yaml:1:4: the alias *x has no anchor before it"),
        ("a: &x [*x]", "r.yaml:1:8: the alias *x refers to a value that contains it"),
        ("a: b: c", "r.yaml:1:5: a ':' is not expected here"),
        ("a: [1, 2", "r.yaml:1:4: the list that starts here is not closed"),
        ("{a: 1", "r.yaml:1:1: the map that starts here is not closed"),
        ("a: 'x", "r.yaml:1:4: the quote that starts here is not closed"),
        ("a:\n\t- b", "r.yaml:2:1: a tab is used for indentation"),
        ("a: @b", "r.yaml:1:4: a string cannot start with '@'"),
        ("a: - b", "r.yaml:1:4: a list cannot start here"),
        ("a: 1\n- b", "r.yaml:2:1: this does not belong to the map around it"),
        ("- a\nb: c", "r.yaml:2:1: this does not belong to the list around it"),
        ("a: \x07", "r.yaml:1:4: the file contains the control character U+0007"),
        ("[" * 100_000, "r.yaml:1:33: values are nested more than 32 deep"),
        ("a: " * 40, "r.yaml:1:5: a ':' is not expected here"),
    ],
)
def test_errors_have_location_and_reason(text: str, messages: str) -> None:
    assert problems(text) == [messages]


def test_reports_all_duplicate_keys() -> None:
    assert problems("a: 1\na: 2\nb: {c: 1, c: 2}\n") == [
        "r.yaml:3:11: duplicate key 'c', first used in line 3",
        "r.yaml:2:1: duplicate key 'a', first used in line 1",
    ]


def test_refuses_text_that_is_not_utf_8_with_its_location() -> None:
    assert problems(b"a: \xc3\xa4\nb: \xff\n") == ["r.yaml:2:4: the text is not UTF-8"]


def test_refuses_an_alias_bomb() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 30)]
    (messages,) = problems("\n".join(lines))
    assert messages.endswith("more than 100000 values, aliases expanded")


def test_refuses_a_large_file() -> None:
    assert problems(b"#" * (yaml.MAX_BYTES + 1)) == ["r.yaml: the file is larger than 1 MiB"]


_BITS = [
    "a",
    "b: ",
    "- ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&x ",
    "*x",
    "!t ",
    "'",
    '"',
    "|",
    ">",
    "#",
    "é",
    "\t",
    "---",
    "? ",
]


@given(st.lists(st.sampled_from(_BITS), max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_returns_a_document(text: str) -> None:
    document = yaml.read_document(text.encode("utf-8", "surrogatepass"), "r.yaml")
    assert document.root is None or not document.problems or isinstance(document.root, Node)
    for problem in document.problems:
        assert problem.where is not None
        assert problem.where.startswith("r.yaml")
        assert not problem.message.endswith(".")


@given(st.binary(max_size=80))
def test_any_bytes_return_a_document(data: bytes) -> None:
    yaml.read_document(data, "r.yaml")
