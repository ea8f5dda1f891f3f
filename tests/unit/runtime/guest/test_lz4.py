"""Kernels are unpacked from LZ4's legacy frames, and damaged ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.runtime.guest import lz4


def frame(*blocks: bytes) -> bytes:
    return lz4.MAGIC + b"".join(len(block).to_bytes(4, "little") + block for block in blocks)


def literals(data: bytes) -> bytes:
    """Return a block without matches."""
    if len(data) < 15:
        return bytes([len(data) << 4]) + data
    rest = len(data) - 15
    return b"\xf0" + b"\xff" * (rest // 255) + bytes([rest % 255]) + data


@given(st.lists(st.binary(min_size=1, max_size=700), min_size=1, max_size=3))
def test_literals_are_copied(parts: list[bytes]) -> None:
    assert lz4.decompress(frame(*map(literals, parts)), 1 << 20) == b"".join(parts)


def test_matches_repeat_what_precedes_them() -> None:
    assert lz4.decompress(frame(b"\x40abcd\x04\x00\x10!"), 100) == b"abcdabcd!"
    overlapping = b"\x1fx\x01\x00\x05\x10!"  # a match of 4 + 15 + 5
    assert lz4.decompress(frame(overlapping), 100) == b"x" * 25 + b"!"


@pytest.mark.parametrize(
    "block",
    [b"\x40abcd\x05\x00", b"\x40abcd\x00\x00", b"\xf0\xff", b"\x40abcd\x04", b"\x1fx\x01\x00\xff\xff\x00"],
)
def test_a_damaged_block_is_refused(block: bytes) -> None:
    with pytest.raises(ValueError, match=r"outside|ends"):
        lz4.decompress(frame(block), 100)


@given(st.binary(max_size=200))
def test_any_bytes_are_unpacked_or_refused(data: bytes) -> None:
    try:
        assert len(lz4.decompress(lz4.MAGIC + data, 1 << 16)) <= (1 << 16) + len(data)
    except ValueError:
        pass
