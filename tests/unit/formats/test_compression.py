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
    contents=st.lists(st.binary(min_size=1, max_size=3000), min_size=1, max_size=4), step=st.integers(1, 5000)
)
def test_concatenated_streams_are_read_as_one(kind: str, contents: list[bytes], step: int) -> None:
    packed = b"".join(_WRITERS[kind](content) for content in contents)
    stream = DecompressedStream(io.BytesIO(packed), kind)
    chunks = []
    while chunk := stream.read(step):
        chunks.append(chunk)
    assert b"".join(chunks) == b"".join(contents)
    assert all(len(chunk) == step for chunk in chunks[:-1])


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
def test_detects_the_compression_from_the_first_bytes(kind: str) -> None:
    assert detect_compression(_WRITERS[kind](b"x")) == kind
    assert DecompressedStream(io.BytesIO(_WRITERS[kind](b"content"))).read(100) == b"content"


def test_skippable_frames_are_skipped() -> None:
    packed = _SKIPPABLE + zstandard.compress(b"one") + _SKIPPABLE + zstandard.compress(b"two")
    assert DecompressedStream(io.BytesIO(packed)).read(100) == b"onetwo"


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd"])
def test_refuses_a_truncated_stream(kind: str) -> None:
    packed = _WRITERS[kind](bytes(range(256)) * 40)
    stream = DecompressedStream(io.BytesIO(packed[:-9]), kind)
    with pytest.raises(FormatError, match="data is truncated"):
        while stream.read(1000):
            pass


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd", "bzip2", "lzma"])
def test_output_is_limited(kind: str) -> None:
    stream = DecompressedStream(io.BytesIO(_WRITERS[kind](bytes(5 << 20))), kind, limit=1 << 20)
    with pytest.raises(FormatError, match="more than the allowed size"):
        while stream.read(1 << 18):
            pass


@pytest.mark.parametrize("kind", ["gzip", "xz", "zstd", "bzip2", "lzma"])
@given(data=st.binary(max_size=300))
def test_any_bytes_return_content_or_raise_format_error(kind: str, data: bytes) -> None:
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
def test_members_are_valid_gzip_with_random_access(content: bytes, data: st.DataObject) -> None:
    output: list[bytearray] = []
    writer = gzip.MemberWriter(output.append)
    cut = data.draw(st.integers(0, len(content)))
    writer.write(content[:cut])
    writer.write(content[cut:])
    writer.close()
    assert stdlib_gzip.decompress(b"".join(output)) == content
    assert writer.member_sizes == [len(member) for member in output]
    read = gzip.random_access_reader(
        lambda: io.BytesIO(b"".join(output)), writer.member_sizes, writer.content_size
    )
    start = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, len(content)))
    assert read(start, length) == content[start : start + length]


@given(st.lists(st.binary(max_size=5000), max_size=8))
def test_members_do_not_depend_on_the_sizes_of_writes(chunks: list[bytes]) -> None:
    def members(chunks: list[bytes]) -> list[bytearray]:
        output: list[bytearray] = []
        writer = gzip.MemberWriter(output.append)
        for chunk in chunks:
            writer.write(chunk)
        writer.close()
        return output

    assert members(chunks) == members([b"".join(chunks)])
