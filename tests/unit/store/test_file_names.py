from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import UsageError
from pumice.store.file_names import decode_reference, encode_reference, is_plain_word

WORDS = st.text("abzABZ019._+~-", min_size=1, max_size=12).filter(lambda word: word[0] not in ".-")
NAMES = st.tuples(st.lists(WORDS, min_size=1, max_size=4).map("/".join), WORDS).map(":".join)


@given(NAMES)
def test_a_name_survives_the_file_system(name: str) -> None:
    encoded = encode_reference(name)
    assert decode_reference(encoded) == name
    assert "/" not in encoded
    assert encoded == encoded.lower()
    assert encoded[0] not in ".-"


@given(NAMES, NAMES)
def test_two_names_never_share_a_file(first_name: str, second_name: str) -> None:
    assert (encode_reference(first_name) == encode_reference(second_name)) == (first_name == second_name)


@given(st.text())
def test_anything_else_is_refused(name: str) -> None:
    try:
        assert decode_reference(encode_reference(name)) == name
    except UsageError as error:
        assert error.message.isprintable()


@given(st.text())
def test_foreign_files_have_no_name(encoded: str) -> None:
    name = decode_reference(encoded)
    assert name == "" or encode_reference(name) == encoded


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("hello:1.0", "hello%3a1.0"),
        ("example.com/Hello:1", "example.com%2f%48ello%3a1"),
        ("localhost:5000/a/b:1.0~rc1+b2", "localhost%3a5000%2fa%2fb%3a1.0%7erc1%2bb2"),
        ("[2001:db8::1]:5000/a:1", "%5b2001%3adb8%3a%3a1%5d%3a5000%2fa%3a1"),
        ("[::1]/a:1", "%5b%3a%3a1%5d%2fa%3a1"),
    ],
)
def test_encodings_are_as_documented(name: str, encoded: str) -> None:
    assert encode_reference(name) == encoded


@pytest.mark.parametrize(
    "name",
    [
        "",
        "hello",
        "[::1]/a",
        "[::1]a:1",
        "[::1",
        "[]/a:1",
        "[../x]/a:1",
        "[::1]//a:1",
        "a/b",
        ":1",
        "a:",
        "../x:1",
        "a/../b:1",
        "/a:1",
        "a//b:1",
        ".a:1",
        "-a:1",
        "a b:1",
        "ä:1",
        "a\0:1",
    ],
)
def test_invalid_names_are_reported(name: str) -> None:
    with pytest.raises(UsageError, match="is not an image name") as caught:
        encode_reference(name)
    assert caught.value.hint == "expected name:version, as in example.com/hello:1.0"


def test_a_name_can_be_too_long() -> None:
    assert len(encode_reference("a" * 246 + ":1")) == 250
    with pytest.raises(UsageError, match=r"too long"):
        encode_reference("a" * 247 + ":1")


def test_words() -> None:
    assert is_plain_word("segment-2")
    assert not any(map(is_plain_word, ["", "-a", "A", "a.b", "a/b", "ä", "x" * 65]))
