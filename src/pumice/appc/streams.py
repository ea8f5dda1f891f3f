"""Hashing and compressing in threads of their own, which is what an image's speed depends on.

hashlib, zlib and libdeflate release the interpreter's lock, so a stream is read, hashed and compressed at
the speed of the slowest of these.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, Protocol

from pumice.formats import gzip

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    Sink = Callable[[bytes | bytearray | memoryview], object]

    class _Hash(Protocol):
        def update(self, data: bytes | bytearray | memoryview, /) -> None: ...

        def hexdigest(self) -> str: ...


Compression = Literal["gzip", "xz", "zstd", "none"]
COMPRESSIONS: tuple[Compression, ...] = ("gzip", "xz", "none", "zstd")
NON_STANDARD: tuple[Compression, ...] = ("zstd",)
"""Compressions that the specification does not have."""

_BATCH = 1 << 18
_LEAST_ALONE = 1 << 16
_DEPTH = 8
_XZ_PRESET = 6
_ZSTD_LEVEL = 3


class BackgroundConsumer:
    """Consumes a stream in a thread; a context manager that ends the thread."""

    def __init__(self, consume: Sink) -> None:
        self._consume = consume
        self._batch = bytearray()
        self._batches: queue.Queue[bytes | bytearray | memoryview | None] = queue.Queue(_DEPTH)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._consume_batches, daemon=True)
        self._thread.start()

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``, which must not change any more; raises what ``consume`` raised before."""
        if len(data) < _LEAST_ALONE:
            self._batch += data
            if len(self._batch) < _BATCH:
                return
            self._flush()
        else:
            self._flush()
            self._batches.put(data)  # without a copy
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Return when everything is consumed; nothing can follow. Raises what ``consume`` raised."""
        self._flush()
        self._batches.put(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread.is_alive():
            self._batches.put(None)
            self._thread.join()

    def _flush(self) -> None:
        if self._batch:
            self._batches.put(self._batch)
            self._batch = bytearray()

    def _consume_batches(self) -> None:
        while (batch := self._batches.get()) is not None:
            if self._error is not None:
                continue  # the other thread must not wait for room in the queue
            try:
                self._consume(batch)
            except BaseException as error:  # noqa: BLE001 - raised in the other thread
                self._error = error


class BackgroundHash(BackgroundConsumer):
    """Hashes of one stream, computed in a thread, which passes everything to ``copy`` as well."""

    def __init__(self, *states: _Hash, copy: Sink | None = None) -> None:
        self._states = states
        self._copy = copy
        super().__init__(self._hash)

    def finish(self) -> tuple[str, ...]:
        """Return the hexadecimal digests of everything; nothing can follow."""
        self.close()
        return tuple(state.hexdigest() for state in self._states)

    def _hash(self, batch: bytes | bytearray | memoryview) -> None:
        for state in self._states:
            state.update(batch)
        if self._copy is not None:
            self._copy(batch)


class Compressor(Protocol):
    """A stream that is compressed; equal content gives equal bytes."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append ``data``."""

    def close(self) -> None:
        """Write what remains."""

    def abandon(self) -> None:
        """Give up without writing more."""


def open_compressor(compression: Compression, sink: Sink) -> Compressor:
    """Return a compressor that passes its output to ``sink``, which one thread at a time calls."""
    if compression == "gzip":
        return _MemberCompressor(sink, gzip.compress_member)
    if compression == "none":
        return _BackgroundWriter(sink)
    return _SerialCompressor(_new_encoder(compression), sink)


class _MemberCompressor:
    """Pieces of `gzip.MEMBER_SIZE` bytes, compressed by a few threads and written in order."""

    def __init__(
        self,
        sink: Sink,
        compress: Callable[[bytes], bytes | bytearray],
    ) -> None:
        self._sink = sink
        self._compress = compress
        self._buffer = bytearray()
        self._threads = max(2, min(8, os.cpu_count() or 1))
        self._pool = ThreadPoolExecutor(self._threads, "compress")
        self._members: deque[Future[bytes | bytearray]] = deque()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._buffer += data
        while len(self._buffer) >= gzip.MEMBER_SIZE:
            self._submit(bytes(memoryview(self._buffer)[: gzip.MEMBER_SIZE]))
            del self._buffer[: gzip.MEMBER_SIZE]

    def close(self) -> None:
        if self._buffer:
            self._submit(bytes(self._buffer))
        while self._members:
            self._sink(self._members.popleft().result())
        self._pool.shutdown()

    def abandon(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _submit(self, content: bytes) -> None:
        self._members.append(self._pool.submit(self._compress, content))
        while len(self._members) > 2 * self._threads or (self._members and self._members[0].done()):
            self._sink(self._members.popleft().result())


class _BackgroundWriter:
    """What is not compressed, written in a thread."""

    def __init__(self, sink: Sink) -> None:
        self._consumer = BackgroundConsumer(sink)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._consumer.update(data)

    def close(self) -> None:
        self._consumer.close()

    def abandon(self) -> None:
        self._consumer.__exit__()


class _Encoder(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _SerialCompressor:
    """An encoder of a library."""

    def __init__(self, encoder: _Encoder, sink: Sink) -> None:
        self._encoder = encoder
        self._sink = sink

    def write(self, data: bytes | bytearray | memoryview) -> None:
        output = self._encoder.compress(bytes(data))
        if output:
            self._sink(output)

    def close(self) -> None:
        self._sink(self._encoder.flush())

    def abandon(self) -> None:
        """Nothing runs that would have to end."""


def _new_encoder(compression: Compression) -> _Encoder:
    if compression == "xz":
        import lzma

        return lzma.LZMACompressor(lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=_XZ_PRESET)
    import zstandard

    encoder: _Encoder = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
    return encoder
