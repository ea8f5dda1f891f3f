"""Decompresses responses (RFC 9110, 8.4).

Requests have ``Accept-Encoding: identity``; some proxies and object stores send gzip nevertheless.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from pumice.registry.errors import RegistryError, redact_url
from pumice.registry.message import TransportError

if TYPE_CHECKING:
    from pumice.registry.message import Response, Stream

_GZIP = 16 + zlib.MAX_WBITS
_IDENTITY = frozenset({"", "identity", "aws-chunked"})
"""Values that mean no encoding; aws-chunked is left over from the upload to an object store."""
_CHUNK = 1 << 16


def is_gzip(response: Response) -> bool:
    """Return whether the body is compressed with gzip; raises RegistryError for another encoding."""
    names = [name.strip().lower() for name in response.header("Content-Encoding").split(",")]
    encodings = [name for name in names if name not in _IDENTITY]
    if not encodings:
        return False
    if encodings in (["gzip"], ["x-gzip"]):
        return True
    raise RegistryError(
        f"the server sent an unsupported encoding: {', '.join(encodings)[:60]!r}",
        where=redact_url(response.url),
    )


def decode_response(response: Response) -> Response:
    """Return the response with a stream of the decompressed body."""
    if not is_gzip(response):
        return response
    return msgspec.structs.replace(response, stream=GzipStream(response.stream, redact_url(response.url)))


class GzipStream:
    """The bytes of a gzip stream.

    A read decompresses no more than the requested size, so that a bomb does not fill the memory.
    """

    def __init__(self, stream: Stream, where: str) -> None:
        self._stream = stream
        self._where = where
        self._decompressor = zlib.decompressobj(_GZIP)
        self._input = b""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end; raises TransportError for a damaged stream."""
        while True:
            if not self._input:
                self._input = self._stream.read(_CHUNK)
                if not self._input:
                    return self._read_rest(size)
            if self._decompressor.eof:
                self._decompressor = zlib.decompressobj(_GZIP)
            try:
                data = self._decompressor.decompress(self._input, size)
            except zlib.error:
                raise self._error("is damaged") from None
            self._input = self._decompressor.unconsumed_tail or self._decompressor.unused_data
            if data:
                return data

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def _read_rest(self, size: int) -> bytes:
        """Return the rest of the decompressor's output at the end of the input."""
        if self._decompressor.eof:
            return b""
        data = self._decompressor.decompress(b"", size)
        if not data:
            raise self._error("is truncated")
        return data

    def _error(self, reason: str) -> TransportError:
        return TransportError(f"the compressed response {reason}", where=self._where)
