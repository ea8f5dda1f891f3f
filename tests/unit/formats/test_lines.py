"""Lines of files of the kernel, the C library and dpkg end with a newline only."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from pumice.formats.lines import split_lines


@given(st.text(alphabet=st.sampled_from("ab:\n\r\v\f\x1c\x85\u2028")))
def test_lines_are_those_that_c_reads(text: str) -> None:
    assert split_lines(text) == [line.removesuffix("\n") for line in io.StringIO(text, newline="\n")]
