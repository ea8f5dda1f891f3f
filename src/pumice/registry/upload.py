"""Uploads blobs (distribution-spec 1.1, "Pushing Blobs").

The location of an upload is opaque: the latest one is used unchanged. After a broken connection, the
registry is asked for the offset to resume at; if it no longer has the upload, the blob is sent again.

An accepted chunk counts as stored, whatever its ``Range`` header says: some registries send a stale, short
or wrong one although they have everything. Only if such an upload is rejected is the blob sent once more,
this time by the ``Range`` headers. Every other return to an earlier byte is counted, so that no registry
can make a client send forever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlencode

import msgspec

from pumice.registry import address_checks, headers
from pumice.registry.errors import RegistryError, redact_url, response_error
from pumice.registry.message import Body, Request, TransportError
from pumice.registry.reference import is_digest

if TYPE_CHECKING:
    from pumice.registry.blob_content import BlobContent
    from pumice.registry.message import Exchange, Response, SendRequest
    from pumice.registry.retry import Backoff

Outcome = Literal["present", "mounted", "sent"]

_OCTET_STREAM = ("Content-Type", "application/octet-stream")
_MAX_SINGLE_REQUEST = 1 << 20
"""Bytes of the largest blob that is sent with the closing request, to save a round trip."""
_REDUCED_CHUNK_SIZE = 16 << 20
"""Bytes of a chunk for a registry, or a proxy in front of it, that rejects the whole blob as too large."""
_MAX_RESTARTS = 5
_MAX_RESUMES = 200
"""How often one upload may return to an earlier byte."""
_ACCEPTED = frozenset({200, 201, 202, 204})
_INTERRUPTED = frozenset({500, 502, 504})
"""Statuses after which it is unknown how much the registry has stored."""
_DIGEST_MISMATCH = frozenset({400, 416})
"""Statuses of a closing request if the stored content does not match the digest."""


class _Session(msgspec.Struct, frozen=True):
    location: str
    offset: int = 0
    min_chunk_size: int = 0
    """The minimum size of a chunk in bytes (OCI-Chunk-Min-Length)."""


class _UnknownUploadError(Exception):
    """The registry no longer has the upload."""


class _InterruptedError(Exception):
    """The registry failed during the upload with the error ``cause``."""

    def __init__(self, cause: RegistryError) -> None:
        super().__init__(cause.message)
        self.cause = cause


class Upload:
    """The upload of one blob to one repository."""

    def __init__(
        self,
        send_request: SendRequest,
        repository_url: str,
        content: BlobContent,
        backoff: Backoff,
        *,
        chunk_size: int = 0,
    ) -> None:
        """``repository_url`` is ``…/v2/NAME``; ``chunk_size`` the bytes of one request, 0: the whole blob."""
        self._send_request = send_request
        self._repository_url = repository_url
        self._content = content
        self._backoff = backoff
        self._chunk_size = chunk_size
        self._resumes = 0
        self._max_offset = 0
        self._has_odd_range = False
        self._trusts_range = False

    def run(self, mount_from: str = "", send_mount_request: SendRequest | None = None) -> Exchange[Outcome]:
        """Upload or mount the blob; return which.

        ``mount_from`` is the name of a repository in the same registry that has the blob, and
        ``send_mount_request`` is authorized to read from it. Raises RegistryError, TransportError, and
        TrustError if the content does not match its digest.
        """
        mount_result = (
            (yield from self._mount(mount_from, send_mount_request or self._send_request))
            if mount_from
            else None
        )
        if mount_result is True:
            return "mounted"
        for _ in range(_MAX_RESTARTS):
            state = mount_result or (yield from self._open_session())
            mount_result = None
            try:
                yield from self._send_content(state)
            except _UnknownUploadError:
                if (yield from self._has_blob()):
                    return "sent"
                continue
            return "sent"
        raise RegistryError("the registry repeatedly lost the upload", where=redact_url(self._repository_url))

    def _mount(self, mount_from: str, send_request: SendRequest) -> Exchange[_Session | Literal[True] | None]:
        """Try to mount the blob; return True, or the session that the registry opened instead, or None.

        Mounting is an optimization: after any failure the blob is uploaded.
        """
        url = f"{self._repository_url}/blobs/uploads/"
        query = urlencode({"mount": self._content.digest, "from": mount_from})
        try:
            response = yield from send_request(Request("POST", f"{url}?{query}"))
        except RegistryError:
            return None
        if response.status == 201:
            return True
        if response.status == 202 and response.header("Location"):
            return self._session_of(response, url)
        return None

    def _open_session(self) -> Exchange[_Session]:
        """Open an upload session."""
        url = f"{self._repository_url}/blobs/uploads/"
        response = yield from self._send_request(Request("POST", url))
        if response.status not in _ACCEPTED:
            raise response_error(response, redact_url(self._repository_url))
        return self._session_of(response, url)

    def _session_of(self, response: Response, url: str) -> _Session:
        least = headers.parse_number(response.header("OCI-Chunk-Min-Length")) or 0
        return _Session(self._next_location(response, url), min_chunk_size=min(least, 1 << 40))

    def _next_location(self, response: Response, base: str, current: str = "") -> str:
        """Return the next location; ``current`` if the response has none."""
        if current and not response.header("Location"):
            return current
        location = address_checks.resolve_location(response.url or base, response.header("Location"))
        if not location:
            raise RegistryError("the registry returned no usable upload location", where=redact_url(base))
        return location

    def _send_content(self, state: _Session) -> Exchange[None]:
        is_single_request = self._content.size <= _MAX_SINGLE_REQUEST
        while True:
            try:
                while not is_single_request and state.offset < self._content.size:
                    state = yield from self._send_chunk(state)
                    self._note_progress(state)
                yield from self._complete(state)
            except (TransportError, _InterruptedError) as error:
                pause = self._backoff.next_pause()
                if isinstance(error, TransportError) and (error.is_permanent or pause is None):
                    raise
                if isinstance(error, _InterruptedError) and pause is None:
                    raise error.cause from None
                if pause is not None:
                    yield pause
                state = yield from self._query_offset(state)
                self._note_progress(state)
                is_single_request = False
                continue
            return

    def _note_progress(self, state: _Session) -> None:
        """Reset the backoff if more bytes are stored than ever before."""
        if state.offset > self._max_offset:
            self._max_offset = state.offset
            self._backoff.reset()

    def _send_chunk(self, state: _Session) -> Exchange[_Session]:
        """Send one chunk; return the new session."""
        start = state.offset
        end = self._content.size
        if self._chunk_size:
            end = min(end, start + max(self._chunk_size, state.min_chunk_size))
        request_headers = (_OCTET_STREAM, ("Content-Range", f"{start}-{end - 1}"))
        request = Request(
            "PATCH", state.location, request_headers, body=self._body(start, end), is_repeatable=False
        )
        response = yield from self._send_request(request)
        if response.status in _ACCEPTED:
            location = self._next_location(response, state.location, state.location)
            stored_size = self._stored_bytes(response, end)
            if stored_size <= start:
                raise RegistryError("the registry stored none of the blob", where=redact_url(state.location))
            if stored_size < end:
                self._count_resume()
            return _Session(location, stored_size, state.min_chunk_size)
        if response.status == 416:
            pause = self._backoff.next_pause()
            if pause is None:
                raise response_error(response, redact_url(state.location))
            yield pause
            return (yield from self._query_offset(state))
        if (
            response.status == 413
            and (not self._chunk_size or self._chunk_size > _REDUCED_CHUNK_SIZE)
            and end - start > _REDUCED_CHUNK_SIZE
        ):
            self._chunk_size = _REDUCED_CHUNK_SIZE
            return (yield from self._query_offset(state))
        if response.status == 404:
            raise _UnknownUploadError
        raise self._response_error(response, state)

    def _stored_bytes(self, response: Response, end: int) -> int:
        """Return how many bytes are stored after the registry accepted a chunk that ends at ``end``."""
        range_end = headers.parse_upload_range(response.header("Range"))
        if range_end is None or range_end == end:
            return end
        self._has_odd_range = True
        return min(range_end, end) if self._trusts_range else end

    def _complete(self, state: _Session) -> Exchange[None]:
        """Send the rest with the closing request and its digest."""
        size = self._content.size
        separator = "&" if "?" in state.location else "?"
        url = f"{state.location}{separator}digest={quote(self._content.digest, safe='')}"
        body = self._body(state.offset, size) if state.offset < size else None
        response = yield from self._send_request(
            Request("PUT", url, (_OCTET_STREAM,), body=body, is_repeatable=False)
        )
        if response.status == 404:
            raise _UnknownUploadError
        if response.status in _DIGEST_MISMATCH and self._has_odd_range and not self._trusts_range:
            self._trusts_range = True
            raise _UnknownUploadError
        if response.status not in _ACCEPTED:
            raise self._response_error(response, state)
        header_digest = response.header("Docker-Content-Digest")
        if (
            is_digest(header_digest)
            and header_digest != self._content.digest
            and header_digest[:7] == self._content.digest[:7]
        ):
            raise RegistryError(
                f"the registry stored the blob with another digest: {header_digest}",
                where=redact_url(self._repository_url),
            )

    def _response_error(self, response: Response, state: _Session) -> Exception:
        error = response_error(response, redact_url(state.location))
        return _InterruptedError(error) if response.status in _INTERRUPTED else error

    def _count_resume(self) -> None:
        self._resumes += 1
        if self._resumes > _MAX_RESUMES:
            raise RegistryError("the upload makes no progress", where=redact_url(self._repository_url))

    def _body(self, start: int, end: int) -> Body:
        return Body(end - start, lambda: self._content.read_range(start, end))

    def _query_offset(self, state: _Session) -> Exchange[_Session]:
        """Return the session with the stored offset; raises _UnknownUploadError if the registry has none."""
        self._count_resume()
        response = yield from self._send_request(Request("GET", state.location))
        if response.status not in (200, 202, 204):
            raise _UnknownUploadError
        location = self._next_location(response, state.location, state.location)
        stored_size = headers.parse_upload_range(response.header("Range"))
        # "0-0" means one byte or, in some registries, none: neither is worth resuming.
        if stored_size is None or stored_size <= 1 or stored_size > self._content.size:
            raise _UnknownUploadError
        return _Session(location, stored_size, state.min_chunk_size)

    def _has_blob(self) -> Exchange[bool]:
        """Return whether the registry has the blob: perhaps only the response was lost."""
        url = f"{self._repository_url}/blobs/{self._content.digest}"
        response = yield from self._send_request(Request("HEAD", url))
        return response.status == 200
