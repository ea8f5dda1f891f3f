from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import capabilities


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # what setcap of libcap 2.66 wrote on an ext4 file system
        ("cap_net_raw+ep", "0100000200200000000000000000000000000000"),
        ("cap_net_raw=ep", "0100000200200000000000000000000000000000"),
        ("cap_net_bind_service,cap_net_admin+eip", "0100000200140000001400000000000000000000"),
        ("cap_net_raw+p", "0000000200200000000000000000000000000000"),
        ("cap_bpf=ep", "0100000200000000000000008000000000000000"),
    ],
)
def test_known_attributes(text: str, expected: str) -> None:
    assert capabilities.encode_capabilities(text).hex() == expected


@pytest.mark.parametrize(
    "text", ["cap_nonsense+ep", "net_raw+ep", "cap_net_raw", "cap_net_raw+x", "cap_chown+e"]
)
def test_refuses_capabilities_that_a_file_cannot_have(text: str) -> None:
    with pytest.raises(FormatError):
        capabilities.encode_capabilities(text)


@given(st.text(st.sampled_from("cap_netrw,=+-eip "), max_size=30))
def test_any_text_returns_bytes_or_raises_format_error(text: str) -> None:
    try:
        assert len(capabilities.encode_capabilities(text)) == 20
    except PumiceError:
        return
