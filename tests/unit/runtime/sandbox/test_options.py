from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.runtime.sandbox.argument_codec import decode_arguments, encode_arguments
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.options import parse_options


@given(
    st.lists(
        st.sampled_from(["--root", "--uid", "--env", "--bind", "--", "a", "1", "--uid-map", "--args", "0:0"])
    )
)
def test_any_command_line_is_options_or_a_failure(arguments: list[str]) -> None:
    try:
        options = parse_options([argument for argument in arguments if argument != "--args"])
    except SetupError:
        return
    assert options.root
    assert options.argv


@given(
    st.dictionaries(st.text(min_size=1).filter(lambda name: "=" not in name), st.text()),
    st.text(),
    st.lists(st.text()),
)
def test_no_text_becomes_another_option(
    environment: dict[str, str], directory: str, mounts: list[str]
) -> None:
    arguments = ["--root", "/", "--cwd", directory]
    for name, value in environment.items():
        arguments += ["--env", f"{name}={value}"]
    for target in mounts:
        arguments += ["--tmpfs", "size=1", target]
    if any("\0" in argument for argument in arguments):
        with pytest.raises(ValueError, match="NUL"):
            decode_arguments(encode_arguments(arguments))
        return
    options = parse_options([*decode_arguments(encode_arguments(arguments)), "--", "x"])
    assert (options.cwd, options.env) == (directory, environment)
    assert options.mounts == [("tmpfs", "size=1", target) for target in mounts]
