"""Decompression of streams, whose format is detected from their content.

Detected are gzip (RFC 1952, any number of members), xz (any number of blocks and streams), zstandard
(RFC 8878, any number of frames) and uncompressed data; bzip2 and lzma must be requested by name. Memory
and output are bounded for any input.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Protocol

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.formats.tar import Source

_CHUNK = 1 << 18
_XZ_MEMORY = 256 << 20
_ZSTD_WINDOW = 1 << 27

_MAGIC = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"))
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)


def detect_compression(start: bytes) -> str:
    """Return ``gzip``, ``xz``, ``zstd`` or ``plain`` (uncompressed) for the first six bytes of a stream."""
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    if int.from_bytes(start[:4], "little") in _SKIPPABLE:
        return "zstd"
    return "plain"


class _Decompressor(Protocol):
    """An incremental decompressor; ``finished`` is true if the input may end here."""

    finished: bool

    def feed(self, data: bytes) -> bytes:
        """Consume ``data`` (or pending input if it is empty) and return some output."""

    def needs_input(self) -> bool:
        """Return whether more input is needed to continue."""


class DecompressedStream:
    """The decompressed content of ``source``; a `tar.Source` itself.

    Raises FormatError for damaged or truncated input, and when more than ``limit`` bytes come out.
    """

    def __init__(
        self,
        source: Source,
        kind: str | None = None,
        *,
        limit: int | None = None,
        observe: Callable[[bytes], object] | None = None,
    ) -> None:
        """``kind`` is a result of `detect_compression`, ``bzip2`` or ``lzma``; None to detect it.

        ``observe`` gets all content in order, in large pieces, when the first byte of each is needed.
        """
        self._source = source
        start = source.read(_CHUNK)
        self.kind = kind or detect_compression(start)
        self._decompressor = _DECOMPRESSORS[self.kind]()
        self._input = start
        self._limit = limit
        self._observe = observe
        self._chunk_offset = 0
        self._chunk = b""
        self._position = 0
        self._ended = False

    @property
    def position(self) -> int:
        """The number of bytes that were returned so far."""
        return self._chunk_offset + self._position

    def read(self, size: int, /) -> bytes:
        """Return the next ``size`` bytes, fewer only at the end."""
        position = self._position
        chunk = self._chunk[position : position + size]
        self._position = position + len(chunk)
        if len(chunk) == size or self._ended:
            return chunk
        chunks = [chunk]
        missing = size - len(chunk)
        while missing and self._refill():
            chunk = self._chunk[:missing]
            self._position = len(chunk)
            missing -= len(chunk)
            chunks.append(chunk)
        return b"".join(chunks)

    def read_some(self, size: int, /) -> bytes | memoryview:
        """Return between 1 and ``size`` bytes without copying them, ``b""`` at the end."""
        if self._position == len(self._chunk) and (self._ended or not self._refill()):
            return b""
        chunk = memoryview(self._chunk)[self._position : self._position + size]
        self._position += len(chunk)
        return chunk

    def _refill(self) -> bool:
        self._chunk_offset += len(self._chunk)
        self._position = 0
        while True:
            if self._decompressor.needs_input() and not self._input:
                self._input = self._source.read(_CHUNK)
                if not self._input:
                    self._finish()
                    return False
            data, self._input = self._input, b""
            try:
                self._chunk = self._decompressor.feed(data)
            except FormatError:
                raise
            except Exception as error:
                raise FormatError(f"the {self.kind} data is damaged ({error})") from error
            if self._chunk:
                self._count_output(len(self._chunk))
                if self._observe:
                    self._observe(self._chunk)
                return True

    def _count_output(self, amount: int) -> None:
        if self._limit is None:
            return
        self._limit -= amount
        if self._limit < 0:
            raise FormatError("the compressed data expands to more than the allowed size")

    def _finish(self) -> None:
        self._chunk = b""
        self._ended = True
        if not self._decompressor.finished:
            raise FormatError(f"the {self.kind} data is truncated")


class _Uncompressed:
    finished = True

    def feed(self, data: bytes) -> bytes:
        return data

    def needs_input(self) -> bool:
        return True


class _ConcatenatedStreams:
    """Streams of one format after another, with ``padding`` between them; a subclass decompresses one."""

    def __init__(self, new_decompressor: Callable[[], Any], *, padding: bytes = b"") -> None:
        self._new_decompressor = new_decompressor
        self._padding = padding
        self._decompressor = new_decompressor()
        self._pending = b""
        self.finished = False

    def feed(self, data: bytes) -> bytes:
        data = self._pending + data if self._pending else data
        self._pending = b""
        if self.finished:
            data = data.lstrip(self._padding) if self._padding else data
            if not data:
                return b""
            self._decompressor = self._new_decompressor()
            self.finished = False
        output: bytes = self._decompressor.decompress(data, _CHUNK * 4)
        if self._decompressor.eof:
            self.finished = True
            self._pending = self._decompressor.unused_data
        else:
            self._pending = self._unconsumed_input()
        return output

    def _unconsumed_input(self) -> bytes:
        """Return the input that the decompressor has not consumed and does not keep itself."""
        return b""

    def needs_input(self) -> bool:
        return not self._pending if self.finished else bool(self._decompressor.needs_input)


class _Gzip(_ConcatenatedStreams):
    def __init__(self) -> None:
        super().__init__(lambda: zlib.decompressobj(31))

    def _unconsumed_input(self) -> bytes:
        return bytes(self._decompressor.unconsumed_tail)

    def needs_input(self) -> bool:
        return not self._pending


def _xz() -> _Decompressor:
    import lzma

    return _ConcatenatedStreams(
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), padding=b"\0"
    )


def _bzip2() -> _Decompressor:
    import bz2

    return _ConcatenatedStreams(bz2.BZ2Decompressor)


def _lzma() -> _Decompressor:
    import lzma

    return _ConcatenatedStreams(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_XZ_MEMORY))


class _Zstd:
    def __init__(self) -> None:
        import zstandard

        self._new_decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj
        self._decompressor = self._new_decompressor()
        self._pending = b""
        self.finished = True

    def feed(self, data: bytes) -> bytes:
        # The library returns all output at once. Small inputs bound it, because a few bytes can expand
        # to a block of at most 128 KiB.
        data = self._pending + data if self._pending else data
        if self._decompressor.eof:
            self._decompressor = self._new_decompressor()
        data, self._pending = data[:1024], data[1024:]
        if not data:
            return b""
        self.finished = False
        output: bytes = self._decompressor.decompress(data)
        if self._decompressor.eof:
            self.finished = True
            self._pending = self._decompressor.unused_data + self._pending
        return output

    def needs_input(self) -> bool:
        return not self._pending


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "plain": _Uncompressed,
    "gzip": _Gzip,
    "xz": _xz,
    "zstd": _Zstd,
    "bzip2": _bzip2,
    "lzma": _lzma,
}
