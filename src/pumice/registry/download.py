"""Downloads blobs, with verification and resumption (distribution-spec 1.1, "Pulling blobs")."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pumice.errors import TrustError
from pumice.registry import content_encoding, headers
from pumice.registry.blob_content import new_hasher
from pumice.registry.errors import RegistryError, response_error
from pumice.registry.message import Request, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

    from pumice.registry.message import Exchange, Response, SendRequest, Stream
    from pumice.registry.retry import Backoff

_CHUNK = 1 << 18
_RANGE_REFUSED = frozenset({206, 400, 403, 405, 416, 501})
_MAX_RESUMES = 1000
"""Connections for one blob, so that a server that sends a few bytes each cannot block us forever."""


def has_blob(send_request: SendRequest, url: str) -> Exchange[bool]:
    """Return whether the registry has a blob; an error response counts as False.

    A redirect to an object store may be signed for GET only: then a failed HEAD is repeated as GET.
    """
    try:
        response = yield from send_request(Request("HEAD", url))
        if response.status != 200 and response.url not in ("", url):
            response = yield from send_request(Request("GET", url, stream=True))
            response.stream.close()
    except RegistryError:
        return False
    return response.status == 200


def head_blob(send_request: SendRequest, url: str, where: str) -> Exchange[int | None]:
    """Return the size of a blob in bytes, None if it does not exist; uses GET if HEAD has no length."""
    response = yield from send_request(Request("HEAD", url))
    if response.status == 404:
        return None
    length = headers.parse_number(response.header("Content-Length"))
    if response.status == 200 and length and not response.header("Content-Encoding"):
        return length
    response = yield from send_request(Request("GET", url, stream=True))
    response.stream.close()
    if response.status == 404:
        return None
    if response.status != 200:
        raise response_error(response, where)
    return headers.parse_number(response.header("Content-Length")) or 0


def open_blob_at(
    send_request: SendRequest, url: str, where: str, start: int = 0
) -> Exchange[tuple[Response, int]]:
    """Request a blob from byte ``start``; return the response and the byte that it starts at.

    If the registry does not support ranges, or sends another one, the whole blob is requested.
    """
    if start:
        response = yield from send_request(Request("GET", url, (("Range", f"bytes={start}-"),), stream=True))
        if response.status == 200:
            return response, 0
        if response.status == 206 and _starts_at(response, start):
            return response, start
        if response.status not in _RANGE_REFUSED:
            raise response_error(response, where)
        response.stream.close()
    response = yield from send_request(Request("GET", url, stream=True))
    if response.status == 200 or (response.status == 206 and _starts_at(response, 0)):
        return response, 0
    response.stream.close()
    raise response_error(response, where)


def open_blob_range(
    send_request: SendRequest, url: str, where: str, start: int, length: int
) -> Exchange[Response]:
    """Request ``length`` bytes of a blob from byte ``start``; the response may have more than these.

    Raises RegistryError if the registry does not send parts of blobs.
    """
    header = ("Range", f"bytes={start}-{start + length - 1}")
    response = yield from send_request(Request("GET", url, (header,), stream=True))
    if (response.status == 206 and _starts_at(response, start)) or (response.status == 200 and not start):
        return response
    response.stream.close()
    if response.status in _RANGE_REFUSED or response.status == 200:
        raise RegistryError("the registry does not send parts of blobs", where=where)
    raise response_error(response, where)


def _starts_at(response: Response, start: int) -> bool:
    content_range = headers.parse_content_range(response.header("Content-Range"))
    return content_range is not None and content_range[0] == start and not content_encoding.is_gzip(response)


class BlobReader(io.RawIOBase):
    """A blob as a file that is read from start to end; the end is only reached if the digest matches."""

    def __init__(
        self,
        opener: Callable[[int], tuple[Response, int]],
        digest: str,
        size: int | None,
        where: str,
        backoff: Backoff,
        sleep: Callable[[float], object],
        *,
        verify: bool = True,
    ) -> None:
        """``opener`` requests the blob from a byte on, as `open_blob_at`. ``size`` is None if unknown.

        With ``verify=False`` the caller computes the digest.
        """
        super().__init__()
        self._opener = opener
        self._digest = digest
        self._hasher = new_hasher(digest)
        self._verify = verify
        self._where = where
        self._backoff = backoff
        self._sleep = sleep
        self._position = 0
        self._size = size
        self._stream: Stream | None = None
        self._finished = False
        self._is_encoded = False
        self._connections = 0
        self._connect()  # so that opening a missing blob fails

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill ``buffer``; see `read`."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to ``size`` bytes, none at the end.

        Raises TrustError if the content does not match the digest or size, and TransportError if the
        connection breaks too often.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        if size == 0 or self._finished:
            return b""
        data = self._read_resuming(size)
        if self._verify:
            self._hasher.update(data)
        self._position += len(data)
        if self._size is not None and self._position > self._size:
            raise self._digest_error()
        if not data or self._position == self._size:
            self._finish()
        return data

    def close(self) -> None:
        """Close the connection."""
        self._close_stream()
        super().close()

    def _read_resuming(self, size: int) -> bytes:
        while True:
            try:
                stream = self._stream or self._connect()
                data = stream.read(size)
                self._check_not_cut(data)
            except TransportError as error:
                self._close_stream()
                pause = self._backoff.next_pause()
                if error.is_permanent or pause is None:
                    raise
                self._sleep(pause.seconds)
                continue
            self._backoff.reset()
            return data

    def _check_not_cut(self, data: bytes) -> None:
        if not data and self._size is not None and self._position < self._size:
            raise TransportError("the connection was closed unexpectedly", where=self._where)

    def _connect(self) -> Stream:
        self._connections += 1
        if self._connections > _MAX_RESUMES:
            raise TransportError(
                "the connection was closed unexpectedly too often", where=self._where, is_permanent=True
            )
        # A range of a compressed response is not a range of the blob.
        response, start = self._opener(0 if self._is_encoded else self._position)
        self._stream = stream = response.stream
        full_size = headers.parse_number(response.header("Content-Length")) if start == 0 else None
        if content_encoding.is_gzip(response) and (full_size is None or full_size != self._size):
            # With the expected length it is the blob itself: a gzip file that its store labels as encoded.
            self._is_encoded, full_size = True, None
            self._stream = stream = content_encoding.GzipStream(stream, self._where)
        if self._size is None:
            self._size = full_size
        elif full_size is not None and full_size != self._size and response.status == 200:
            raise self._digest_error()
        to_skip = self._position - start
        while to_skip > 0:  # without support for ranges, skip what was read before
            data = stream.read(min(_CHUNK, to_skip))
            if not data:
                raise TransportError("the connection was closed unexpectedly", where=self._where)
            to_skip -= len(data)
        return stream

    def _finish(self) -> None:
        self._finished = True
        if self._size is not None and self._stream is not None and self._stream.read(1):
            raise self._digest_error()
        self._close_stream()
        if self._verify and self._hasher.hexdigest() != self._digest.partition(":")[2]:
            raise self._digest_error()

    def _digest_error(self) -> TrustError:
        return TrustError(
            "the content from the registry does not match its digest",
            where=self._where,
            hint="the registry, or a proxy in front of it, is damaged or hostile",
        )

    def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
