"""gzip as Pumice writes it: a sequence of members of exactly 1 MiB of content (the last one less).

Members are independent (RFC 1952, 2.2), so streams can be concatenated without recompression, and a
file can be read without the data before it. libdeflate returns the same bytes on every processor. Other
versions of it may return other bytes; only the content is guaranteed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, BinaryIO

import deflate

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MEMBER_SIZE = 1 << 20
"""Size of the content of a member in bytes."""

LEVEL = 2
"""libdeflate's compression level: part of the format, since it decides the bytes."""


def compress_member(data: bytes | bytearray) -> bytearray:
    """Return one gzip member with the content ``data``, without name and time."""
    return deflate.gzip_compress(data, LEVEL)


def decompress_member(member: bytes | bytearray) -> bytearray:
    """Return the content of one member; raises FormatError if it is damaged."""
    try:
        return deflate.gzip_decompress(member)
    except (deflate.DeflateError, ValueError) as error:
        raise FormatError(f"a gzip member is damaged ({error})") from None


class MemberWriter:
    """Splits written data into members of `MEMBER_SIZE` bytes and passes them, compressed, to ``sink``."""

    def __init__(self, sink: Callable[[bytearray], object]) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self.content_size = 0
        """Size of the content so far in bytes."""
        self.member_sizes: list[int] = []
        """Compressed size of each member so far."""

    @property
    def space_in_member(self) -> int:
        """How many bytes fit into the current member; writing exactly that many avoids a copy."""
        return MEMBER_SIZE - len(self._buffer)

    def write(self, data: bytes | memoryview) -> None:
        """Append ``data``."""
        self.content_size += len(data)
        self._buffer += data
        while len(self._buffer) >= MEMBER_SIZE:
            content, self._buffer = self._buffer, self._buffer[MEMBER_SIZE:]
            del content[MEMBER_SIZE:]
            self._write_member(content)

    def close(self) -> None:
        """Write the last member."""
        if self._buffer:
            self._write_member(self._buffer)
            self._buffer = bytearray()

    def _write_member(self, data: bytearray) -> None:
        member = compress_member(data)
        self.member_sizes.append(len(member))
        self._sink(member)


def random_access_reader(
    open_file: Callable[[], BinaryIO], member_sizes: Sequence[int], size: int
) -> Callable[[int, int], bytes]:
    """Return a function ``read_at(offset, length)`` for the content of a sequence of members.

    ``open_file`` opens the sequence each time a member is read that is not cached. ``member_sizes`` are
    the compressed sizes from `MemberWriter`, and ``size`` is the size of the content. Raises FormatError
    if the sequence is shorter than that.
    """
    starts = [0]
    for length in member_sizes:
        starts.append(starts[-1] + length)

    @lru_cache(maxsize=2)
    def read_member(member_index: int) -> bytearray:
        with open_file() as file:
            file.seek(starts[member_index])
            return decompress_member(file.read(member_sizes[member_index]))

    def read_at(offset: int, length: int) -> bytes:
        end = min(offset + length, size)
        chunks = []
        while offset < end:
            member_index, offset_in_member = divmod(offset, MEMBER_SIZE)
            chunk = read_member(member_index)[offset_in_member : offset_in_member + end - offset]
            if not chunk:
                raise FormatError("a sequence of gzip members is shorter than its index")
            chunks.append(chunk)
            offset += len(chunk)
        return b"".join(chunks)

    return read_at
