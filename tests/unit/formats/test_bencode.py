from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError
from pumice.formats import bencode

VALUES = st.recursive(
    st.integers(-(10**18), 10**18) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_what_is_encoded_is_decoded(value: bencode.Value) -> None:
    assert bencode.decode(bencode.encode(value)) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_canonical_or_refused(data: bytes) -> None:
    try:
        value = bencode.decode(data)
    except FormatError:
        return
    assert bencode.encode(value) == data


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"i", b"ie", b"i1", b"i-e", b"i-0e", b"i01e", b"i 1e", b"i1.0e", b"i" + b"9" * 40 + b"e"),
        *(b"1", b"1:", b"01:a", b"-1:a", b"2:a", b"99999999999:a", b"l", b"li1e", b"d", b"d1:a", b"d1:ae"),
        *(b"di1ei1ee", b"d1:bi1e1:ai1ee", b"d1:ai1e1:ai1ee", b"x", b"i1ei2e", b"e", b"l" * 100000),
    ],
)
def test_malformed_data_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        bencode.decode(data)


@pytest.mark.parametrize("value", [True, 1.0, None, [None]])
def test_values_without_an_encoding_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        bencode.encode(value)
