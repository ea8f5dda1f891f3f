"""Compressed streams: everything that tools write is read, nothing grows without bound."""

from __future__ import annotations

import bz2
import gzip as stdlib_gzip
import io
import lzma
from collections.abc import Callable
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError
from pumice.formats import gzip
from pumice.formats.compression import DecompressedStream, detect_compression

_SKIPPABLE = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
_WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": partial(stdlib_gzip.compress, mtime=0),
    "xz": lzma.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "lzma": partial(lzma.compress, format=lzma.FORMAT_ALONE),
}


@pytest.mark.parametrize("kind", _WRITERS)
@given(
    parts=st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=4), step=st.integers(1, 5000)
)
def test_concatenated_streams_read_as_one(kind: str, parts: list[bytes], step: int) -> None:
    packed = b"".join(_WRITERS[kind](part) for part in parts)
    stream = DecompressedStream(io.BytesIO(packed), kind)
    pieces = []
    while piece := stream.read(step):
        pieces.append(piece)
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) == step for piece in pieces[:-1])


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
def test_what_it_is_shows_in_its_first_bytes(kind: str) -> None:
    assert detect_compression(_WRITERS[kind](b"x")) == kind
    assert DecompressedStream(io.BytesIO(_WRITERS[kind](b"content"))).read(100) == b"content"


def test_skippable_frames_are_skipped() -> None:
    packed = _SKIPPABLE + zstandard.compress(b"one") + _SKIPPABLE + zstandard.compress(b"two")
    assert DecompressedStream(io.BytesIO(packed)).read(100) == b"onetwo"


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
def test_a_stream_that_ends_early_is_refused(kind: str) -> None:
    packed = _WRITERS[kind](bytes(range(256)) * 40)
    stream = DecompressedStream(io.BytesIO(packed[:-9]), kind)
    with pytest.raises(FormatError, match="data is truncated"):
        while stream.read(1000):
            pass


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd", "bzip2", "lzma"])
def test_output_is_bounded(kind: str) -> None:
    stream = DecompressedStream(io.BytesIO(_WRITERS[kind](bytes(5 << 20))), kind, limit=1 << 20)
    with pytest.raises(FormatError, match="more than the allowed size"):
        while stream.read(1 << 18):
            pass


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd", "bzip2", "lzma"])
@given(data=st.binary(max_size=300))
def test_any_bytes_give_content_or_a_refusal(kind: str, data: bytes) -> None:
    start = {
        "gzip": b"\x1f\x8b\x08",
        "xz": b"\xfd7zXZ\0",
        "zstd": b"\x28\xb5\x2f\xfd",
        "bzip2": b"BZh9",
        "lzma": b"\x5d",
    }[kind]
    for candidate in (data, start + data):
        try:
            stream = DecompressedStream(io.BytesIO(candidate), kind, limit=1 << 22)
            while stream.read(1 << 16):
                pass
        except FormatError:
            pass


@given(st.binary(max_size=3 << 20).map(lambda data: data * 3), st.data())
def test_a_row_of_members_is_gzip_and_can_be_read_anywhere(content: bytes, data: st.DataObject) -> None:
    written: list[bytearray] = []
    writer = gzip.MemberWriter(written.append)
    cut = data.draw(st.integers(0, len(content)))
    writer.write(content[:cut])
    writer.write(content[cut:])
    writer.close()
    assert stdlib_gzip.decompress(b"".join(written)) == content
    assert writer.member_sizes == [len(member) for member in written]
    read = gzip.random_access_reader(
        lambda: io.BytesIO(b"".join(written)), writer.member_sizes, writer.content_size
    )
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, len(content)))
    assert read(start, length) == content[start : start + length]


@given(st.lists(st.binary(max_size=5000), max_size=8))
def test_members_do_not_depend_on_how_they_were_written(pieces: list[bytes]) -> None:
    def members(parts: list[bytes]) -> list[bytearray]:
        written: list[bytearray] = []
        writer = gzip.MemberWriter(written.append)
        for part in parts:
            writer.write(part)
        writer.close()
        return written

    assert members(pieces) == members([b"".join(pieces)])
