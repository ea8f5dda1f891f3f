from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pumice.runtime.sandbox.argument_codec import decode_arguments, encode_arguments

ARGUMENTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")))


@given(ARGUMENTS)
def test_decoding_returns_the_arguments_that_were_encoded(arguments: list[str]) -> None:
    assert decode_arguments(encode_arguments(arguments)) == arguments


@given(st.binary(max_size=40))
def test_any_bytes_decode_to_arguments_or_raise_value_error(data: bytes) -> None:
    try:
        arguments = decode_arguments(data)
    except ValueError:
        return
    assert not any("\0" in argument for argument in arguments)
