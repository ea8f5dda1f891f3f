"""Sending a blob (distribution-spec 1.1, "Pushing Blobs").

The location of an upload is the registry's own affair: it is used as it was given, and the latest one
counts. Where a connection breaks, the registry is asked how much arrived; one that does not know any
more gets the blob from the start.

An accepted part counts as stored, whatever ``Range`` says about it: registries answer with a stale, a
short or a wrong one and have everything. Only when such an upload is then refused is the blob sent once
more by what ``Range`` says. Every other way back to an earlier byte is counted, so that no registry can
make a client send a blob forever.
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
"""Bytes up to which a blob goes with the closing request: one round trip less."""
_REDUCED_CHUNK_SIZE = 16 << 20
"""Bytes of a chunk for a registry, or a proxy before it, that finds the whole blob too large."""
_MAX_RESTARTS = 5
_MAX_RESUMES = 200
"""Times that one blob may go on from an earlier byte: more is a registry that makes fun of us."""
_ACCEPTED = frozenset({200, 201, 202, 204})
_INTERRUPTED = frozenset({500, 502, 504})
"""Answers after which nobody knows what has arrived."""
_DIGEST_MISMATCH = frozenset({400, 416})
"""Answers to a closing request for an upload whose bytes are not the blob's."""


class _Session(msgspec.Struct, frozen=True):
    location: str
    offset: int = 0
    min_chunk_size: int = 0
    """The smallest chunk that the registry takes, in bytes."""


class _UnknownUploadError(Exception):
    """The registry knows nothing of this upload any more."""


class _InterruptedError(Exception):
    """The registry failed in the middle; ``refusal`` is what it said."""

    def __init__(self, cause: RegistryError) -> None:
        super().__init__(cause.message)
        self.cause = cause


class Upload:
    """One blob on its way to one repository."""

    def __init__(
        self,
        send_request: SendRequest,
        repository_url: str,
        content: BlobContent,
        backoff: Backoff,
        *,
        chunk_size: int = 0,
    ) -> None:
        """``address`` is the repository's, ``…/v2/NAME``; ``chunk`` the bytes of one request, 0: all."""
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
        """Send it. ``mount_from`` names a repository of the same registry that has the blob.

        ``ask_to_mount`` asks with a login that may read from there. Raises RegistryError,
        TransportError, TrustError if the content is not what it should be.
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
        raise RegistryError("the registry keeps losing the upload", where=redact_url(self._repository_url))

    def _mount(self, mount_from: str, send_request: SendRequest) -> Exchange[_Session | Literal[True] | None]:
        """Try to mount; True if that worked, else the upload that was opened instead, if one was.

        A mount saves time and no more: whatever speaks against it, the blob can still be sent.
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
        """Open an upload."""
        url = f"{self._repository_url}/blobs/uploads/"
        response = yield from self._send_request(Request("POST", url))
        if response.status not in _ACCEPTED:
            raise response_error(response, redact_url(self._repository_url))
        return self._session_of(response, url)

    def _session_of(self, response: Response, url: str) -> _Session:
        least = headers.parse_number(response.header("OCI-Chunk-Min-Length")) or 0
        return _Session(self._next_location(response, url), min_chunk_size=min(least, 1 << 40))

    def _next_location(self, response: Response, base: str, current: str = "") -> str:
        """Return where to go on; ``known`` is where we were, for an answer that says nothing new."""
        if current and not response.header("Location"):
            return current
        location = address_checks.resolve_location(response.url or base, response.header("Location"))
        if not location:
            raise RegistryError("the registry does not say where to send the blob", where=redact_url(base))
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
        """Be patient again once more has arrived than ever before."""
        if state.offset > self._max_offset:
            self._max_offset = state.offset
            self._backoff.reset()

    def _send_chunk(self, state: _Session) -> Exchange[_Session]:
        """Send one chunk; return how things are afterwards."""
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
            stored = self._stored_bytes(response, end)
            if stored <= start:
                raise RegistryError(
                    "the registry stores nothing of the blob", where=redact_url(state.location)
                )
            if stored < end:
                self._count_resume()
            return _Session(location, stored, state.min_chunk_size)
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
        """Return up to which byte the registry has the blob after it took the part before ``end``."""
        range_end = headers.parse_upload_range(response.header("Range"))
        if range_end is None or range_end == end:
            return end
        self._has_odd_range = True
        return min(range_end, end) if self._trusts_range else end

    def _complete(self, state: _Session) -> Exchange[None]:
        """Send what is left and say what the whole is."""
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
                f"the registry says that it keeps the blob as {header_digest}",
                where=redact_url(self._repository_url),
            )

    def _response_error(self, response: Response, state: _Session) -> Exception:
        error = response_error(response, redact_url(state.location))
        return _InterruptedError(error) if response.status in _INTERRUPTED else error

    def _count_resume(self) -> None:
        self._resumes += 1
        if self._resumes > _MAX_RESUMES:
            raise RegistryError("the upload does not get on", where=redact_url(self._repository_url))

    def _body(self, start: int, end: int) -> Body:
        return Body(end - start, lambda: self._content.read_range(start, end))

    def _query_offset(self, state: _Session) -> Exchange[_Session]:
        """Ask how much has arrived; raises _GoneError when the registry cannot say."""
        self._count_resume()
        response = yield from self._send_request(Request("GET", state.location))
        if response.status not in (200, 202, 204):
            raise _UnknownUploadError
        location = self._next_location(response, state.location, state.location)
        stored = headers.parse_upload_range(response.header("Range"))
        # "0-0" stands for one byte and, in some registries, for none: neither is worth going on from.
        if stored is None or stored <= 1 or stored > self._content.size:
            raise _UnknownUploadError
        return _Session(location, stored, state.min_chunk_size)

    def _has_blob(self) -> Exchange[bool]:
        """Whether the blob arrived after all: what broke may have been the answer only."""
        url = f"{self._repository_url}/blobs/{self._content.digest}"
        response = yield from self._send_request(Request("HEAD", url))
        return response.status == 200
