"""Decompression of LZ4's legacy frames, in which the kernel is packed (lz4_Frame_format.md)."""

from __future__ import annotations

MAGIC = b"\x02\x21\x4c\x18"
_MIN_MATCH = 4


def decompress(data: bytes, limit: int) -> bytes:
    """Return what legacy frames contain; raises ValueError for bad data or more than ``limit``."""
    output = bytearray()
    position = len(MAGIC)
    try:
        while position + 4 <= len(data):
            size = int.from_bytes(data[position : position + 4], "little")
            position += 4
            if not 0 < size <= len(data) - position:
                break  # what follows the last block is not part of the frame
            _append_block(data[position : position + size], output, limit)
            position += size
    except IndexError:
        raise ValueError("a block ends unexpectedly") from None
    return bytes(output)


def _append_block(block: bytes, output: bytearray, limit: int) -> None:
    start, position, end = len(output), 0, len(block)
    while position < end:
        token = block[position]
        position += 1
        length = token >> 4
        if length == 15:
            length, position = _read_length(block, position)
        output += block[position : position + length]
        position += length
        if position >= end:
            return
        offset = block[position] | block[position + 1] << 8
        position += 2
        length = (token & 15) + _MIN_MATCH
        if length == 15 + _MIN_MATCH:
            length, position = _read_length(block, position)
            length += _MIN_MATCH
        source = len(output) - offset
        if offset == 0 or source < start or len(output) + length > limit:
            raise ValueError("a match is outside of the data")
        if offset >= length:
            output += output[source : source + length]
        else:
            output += (output[source:] * (length // offset + 1))[:length]


def _read_length(block: bytes, position: int) -> tuple[int, int]:
    length = 15
    while (byte := block[position]) == 255:
        length += 255
        position += 1
    return length + byte, position + 1
