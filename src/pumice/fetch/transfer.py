"""Downloads one URL with as many requests as necessary.

Retries transient failures, honors Retry-After, follows redirects without forwarding a login, and resumes
with Range requests after a broken connection (RFC 9110).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

import msgspec

from pumice.errors import FetchError, FormatError
from pumice.fetch.network_rules import parse_url, without_login
from pumice.formats import hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import BaseHTTPResponse

ATTEMPTS = 4
"""Transient failures in a row, without any progress, after which a download fails."""
CHUNK = 1 << 18
_MAX_REQUESTS = 50
"""Requests for one URL, however many bytes each returns."""
_MAX_REDIRECTS = 10
_MAX_WAIT = 60.0
"""The longest Retry-After that is honored, in seconds."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class MissingError(FetchError):
    """The mirror does not have the file."""


class DownloadResult(msgspec.Struct, frozen=True):
    """A finished download; ``is_unchanged`` if the caller's cached copy is still current.

    ``response_count`` is the number of responses it was assembled from: several may be of different files.
    """

    body: bytes
    etag: str = ""
    modified: str = ""
    is_unchanged: bool = False
    response_count: int = 1


class OfflineError(FetchError):
    """The file would have to be downloaded, which ``--offline`` does not allow."""


class Sink(Protocol):
    """Receives the bytes of a download."""

    def __call__(self, data: bytes, /) -> object:
        """Receive the next bytes."""


class _TransientError(Exception):
    """A failure that a retry may overcome; ``wait`` is the server's Retry-After in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Transfer:
    """One download of a URL to a sink."""

    def __init__(
        self,
        request: Callable[[str, Mapping[str, str]], BaseHTTPResponse],
        sleep: Callable[[float], object],
        url: str,
        sink: Sink,
        limit: int,
        headers: dict[str, str],
        *,
        same_host: bool = False,
    ) -> None:
        self._request = request
        self._sleep = sleep
        self._url = url
        self._sink = sink
        self._limit = limit
        self._headers = headers
        self._same_host = same_host
        self._received = 0
        self._validator = ""
        self._response_count = 0

    def run(self) -> DownloadResult:
        """Download; raises MissingError, FetchError, FormatError for too many bytes, the sink's errors."""
        failure_count = 0
        for request_index in range(_MAX_REQUESTS):
            received_before = self._received
            try:
                return self._attempt()
            except _TransientError as error:
                failure_count = 1 if self._received > received_before else failure_count + 1
                if failure_count >= ATTEMPTS or error.wait > _MAX_WAIT or request_index + 1 == _MAX_REQUESTS:
                    raise FetchError(
                        f"the download failed: {error}",
                        where=without_login(self._url),
                        hint="check the network and the proxy, or use another mirror",
                    ) from error
                self._sleep(error.wait or 0.2 * 2**failure_count)
        raise AssertionError("the last request returns or raises")

    def _attempt(self) -> DownloadResult:
        response = self._request_following_redirects()
        try:
            return self._receive(response)
        except _get_network_error_types() as error:
            raise self._make_network_error(error) from error
        finally:
            response.close()

    def _request_following_redirects(self) -> BaseHTTPResponse:
        """Return the first response that is not a redirect."""
        url = self._url
        for _ in range(_MAX_REDIRECTS):
            headers = dict(self._headers)
            if self._received:
                headers = {
                    "Range": f"bytes={self._received}-",
                    **({"If-Range": self._validator} if self._validator else {}),
                }
            try:
                response = self._request(url, headers)
            except _get_network_error_types() as error:
                raise self._make_network_error(error) from error
            if response.status not in _REDIRECTS:
                return response
            target = urljoin(without_login(url), response.headers.get("Location", ""))
            response.close()
            old_scheme, new_scheme = parse_url(url).scheme, parse_url(target).scheme
            if new_scheme not in {"http", "https"} or (old_scheme, new_scheme) == ("https", "http"):
                raise FetchError(
                    f"the mirror redirects from {old_scheme} to {new_scheme}", where=without_login(self._url)
                )
            if hosts.is_local(parse_url(target).hostname or "") and not hosts.is_local(
                parse_url(url).hostname or ""
            ):
                raise FetchError("the mirror redirects to a local address", where=without_login(self._url))
            if self._same_host and parse_url(target).hostname != parse_url(self._url).hostname:
                raise FetchError(
                    f"the server redirects to another host, {parse_url(target).hostname}",
                    where=without_login(self._url),
                    hint=f"if you trust that host, use its URL: {without_login(target)[:200]}",
                )
            url = target
        raise FetchError("too many redirects", where=without_login(self._url))

    def _receive(self, response: BaseHTTPResponse) -> DownloadResult:
        status = response.status
        if status == HTTPStatus.NOT_MODIFIED and not self._received:
            response.drain_conn()  # there is no body; this allows the connection to be reused
            return DownloadResult(b"", is_unchanged=True)
        if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            overlap = self._compute_overlap(response)
            etag = response.headers.get("ETag", "")
            modified = response.headers.get("Last-Modified", "")
            self._response_count += 1
            self._validator = "" if etag.startswith("W/") else etag or modified
            for data in response.stream(CHUNK, decode_content=False):
                new_data = data[overlap:] if overlap < len(data) else b""
                overlap = max(0, overlap - len(data))
                self._received += len(new_data)
                if self._received > self._limit:
                    raise too_large_error(self._url, self._limit)
                self._sink(new_data)
            return DownloadResult(b"", etag, modified, response_count=self._response_count)
        raise self._make_response_error(response)

    def _compute_overlap(self, response: BaseHTTPResponse) -> int:
        """Return how many bytes of this response are known already; raises FetchError for another range."""
        if response.status == HTTPStatus.OK:
            return self._received
        content_range = response.headers.get("Content-Range", "")
        if not self._received or not content_range.startswith(f"bytes {self._received}-"):
            raise FetchError("the mirror sent another range than requested", where=without_login(self._url))
        return 0

    def _make_network_error(self, error: Exception) -> Exception:
        """Return the exception for a network failure: a retry does not make a certificate valid."""
        from urllib3.exceptions import SSLError

        if isinstance(error, SSLError):
            return FetchError(_explain_network_error(error), where=without_login(self._url))
        return _TransientError(_explain_network_error(error))

    def _make_response_error(self, response: BaseHTTPResponse) -> Exception:
        status = response.status
        where = without_login(self._url)
        if status in _TRANSIENT:
            return _TransientError(
                f"the server responded {_format_status(status)}", _parse_retry_after(response)
            )
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            return MissingError(f"the mirror does not have the file ({status})", where=where)
        hint = None
        if status == HTTPStatus.UNAUTHORIZED:
            hint = "add a login to apt's auth.conf or auth.conf.d, and check that you can read it"
        return FetchError(f"the server responded {_format_status(status)}", where=where, hint=hint)


def too_large_error(url: str, limit: int) -> FormatError:
    """Return the error for a file of more than ``limit`` bytes."""
    return FormatError(f"the file is larger than {limit} bytes", where=without_login(url))


def _format_status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _parse_retry_after(response: BaseHTTPResponse) -> float:
    """Return the seconds of Retry-After, 0 without one; a date counts as one second."""
    text = response.headers.get("Retry-After", "")
    if not text:
        return 0.0
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1.0


def _get_network_error_types() -> tuple[type[Exception], ...]:
    from urllib3.exceptions import HTTPError

    return (HTTPError, OSError)


def _explain_network_error(error: Exception) -> str:
    """Return the cause of a network failure as a phrase, without urllib3's wrapping."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.NameResolutionError):
        return "cannot resolve the host name"
    if isinstance(error, exceptions.NewConnectionError):
        return "cannot connect"
    if isinstance(error, exceptions.ConnectTimeoutError):
        return "connecting timed out"
    if isinstance(error, exceptions.ReadTimeoutError):
        return "the server does not respond"
    if isinstance(error, exceptions.SSLError):
        return f"cannot verify the certificate of the server: {error}"
    if isinstance(error, exceptions.ProxyError):
        cause = error.original_error
        is_down = isinstance(cause, exceptions.NewConnectionError | exceptions.ConnectTimeoutError)
        return "cannot connect to the proxy" if is_down else f"the proxy refused the request: {cause}"
    if isinstance(error, exceptions.ProtocolError):
        return "the connection was closed unexpectedly"
    return str(error) or type(error).__name__
