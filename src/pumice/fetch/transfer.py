"""One URL on its way to whoever wants its bytes, over as many requests as it takes.

Retries what may pass, honours Retry-After, follows redirections without taking a login along, and
resumes by Range where a connection broke (RFC 9110).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

import msgspec

from pumice.errors import FetchError, FormatError
from pumice.fetch.network_rules import split, without_login
from pumice.formats import hosts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from urllib3 import BaseHTTPResponse

ATTEMPTS = 4
"""How often one URL is tried when the failure may pass and nothing more arrives."""
CHUNK = 1 << 18
_MAX_REQUESTS = 50
"""For one URL, however many bytes each brings."""
_MAX_REDIRECTS = 10
_MAX_WAIT = 60.0
"""Seconds that a Retry-After may ask for."""
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class MissingError(FetchError):
    """The mirror answered that it does not have this file."""


class Answer(msgspec.Struct, frozen=True):
    """What came back: ``unchanged`` if the copy that the caller has is still current.

    ``pieces`` says in how many answers it came: more than one may be of different files.
    """

    body: bytes
    etag: str = ""
    modified: str = ""
    unchanged: bool = False
    pieces: int = 1


class OfflineError(FetchError):
    """It would have to be fetched, and ``--offline`` forbids that."""


class Sink(Protocol):
    """What takes a download's bytes."""

    def __call__(self, data: bytes, /) -> object:
        """Take the next bytes."""


class _PassingError(Exception):
    """A failure that may not happen again; ``wait`` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Transfer:
    """One URL on its way to a sink, over as many requests as it takes."""

    def __init__(
        self,
        request: Callable[[str, Mapping[str, str]], BaseHTTPResponse],
        pause: Callable[[float], object],
        url: str,
        sink: Sink,
        limit: int,
        headers: dict[str, str],
        *,
        same_host: bool = False,
    ) -> None:
        self._request = request
        self._pause = pause
        self._url = url
        self._sink = sink
        self._limit = limit
        self._headers = headers
        self._same_host = same_host
        self._done = 0
        self._validator = ""
        self._pieces = 0

    def run(self) -> Answer:
        """Do it; raises MissingError, FetchError, FormatError for too many bytes, what the sink raises."""
        failures = 0
        for request in range(_MAX_REQUESTS):
            before = self._done
            try:
                return self._attempt()
            except _PassingError as error:
                failures = 1 if self._done > before else failures + 1
                if failures >= ATTEMPTS or error.wait > _MAX_WAIT or request + 1 == _MAX_REQUESTS:
                    raise FetchError(
                        f"the download failed: {error}",
                        where=without_login(self._url),
                        hint="check the network and the proxy, or name another mirror",
                    ) from error
                self._pause(error.wait or 0.2 * 2**failures)
        raise AssertionError("the last request returns or raises")

    def _attempt(self) -> Answer:
        response = self._follow()
        try:
            return self._take(response)
        except _network_errors() as error:
            raise self._failure(error) from error
        finally:
            response.close()

    def _follow(self) -> BaseHTTPResponse:
        """The first answer that is not a redirection."""
        url = self._url
        for _ in range(_MAX_REDIRECTS):
            headers = dict(self._headers)
            if self._done:
                headers = {
                    "Range": f"bytes={self._done}-",
                    **({"If-Range": self._validator} if self._validator else {}),
                }
            try:
                response = self._request(url, headers)
            except _network_errors() as error:
                raise self._failure(error) from error
            if response.status not in _REDIRECTS:
                return response
            target = urljoin(without_login(url), response.headers.get("Location", ""))
            response.close()
            old, new = split(url).scheme, split(target).scheme
            if new not in {"http", "https"} or (old, new) == ("https", "http"):
                raise FetchError(f"the mirror redirects from {old} to {new}", where=without_login(self._url))
            if hosts.is_local(split(target).hostname or "") and not hosts.is_local(split(url).hostname or ""):
                raise FetchError(
                    "the mirror redirects to an address of this machine", where=without_login(self._url)
                )
            if self._same_host and split(target).hostname != split(self._url).hostname:
                raise FetchError(
                    f"the server redirects to another host, {split(target).hostname}",
                    where=without_login(self._url),
                    hint=f"if that is what you expect, ask there: {without_login(target)[:200]}",
                )
            url = target
        raise FetchError("the mirror redirects in circles", where=without_login(self._url))

    def _take(self, response: BaseHTTPResponse) -> Answer:
        status = response.status
        if status == HTTPStatus.NOT_MODIFIED and not self._done:
            response.drain_conn()  # has no body, so that the connection can be used again
            return Answer(b"", unchanged=True)
        if status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            skip = self._resumed_at(response)
            etag = response.headers.get("ETag", "")
            modified = response.headers.get("Last-Modified", "")
            self._pieces += 1
            self._validator = "" if etag.startswith("W/") else etag or modified
            for data in response.stream(CHUNK, decode_content=False):
                fresh = data[skip:] if skip < len(data) else b""
                skip = max(0, skip - len(data))
                self._done += len(fresh)
                if self._done > self._limit:
                    raise too_large(self._url, self._limit)
                self._sink(fresh)
            return Answer(b"", etag, modified, pieces=self._pieces)
        raise self._refusal(response)

    def _resumed_at(self, response: BaseHTTPResponse) -> int:
        """How many bytes of this answer are here already; where it begins must be what was asked for."""
        if response.status == HTTPStatus.OK:
            return self._done
        announced = response.headers.get("Content-Range", "")
        if not self._done or not announced.startswith(f"bytes {self._done}-"):
            raise FetchError(
                "the mirror sends another part than it was asked for", where=without_login(self._url)
            )
        return 0

    def _failure(self, error: Exception) -> Exception:
        """What to raise for a network failure: a certificate does not become valid by asking again."""
        from urllib3.exceptions import SSLError

        if isinstance(error, SSLError):
            return FetchError(_sentence(error), where=without_login(self._url))
        return _PassingError(_sentence(error))

    def _refusal(self, response: BaseHTTPResponse) -> Exception:
        status = response.status
        where = without_login(self._url)
        if status in _PASSING:
            return _PassingError(f"the server answers {_phrase(status)}", _retry_after(response))
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            return MissingError(f"the mirror does not have it ({status})", where=where)
        hint = None
        if status == HTTPStatus.UNAUTHORIZED:
            hint = "logins come from apt's auth.conf and auth.conf.d, if you may read them"
        return FetchError(f"the server answers {_phrase(status)}", where=where, hint=hint)


def too_large(url: str, limit: int) -> FormatError:
    """Return the error for a file that goes on beyond ``limit`` bytes."""
    return FormatError(f"the file is larger than the {limit} bytes it may have", where=without_login(url))


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _retry_after(response: BaseHTTPResponse) -> float:
    """Seconds that the server wants to be left alone; dates count as one second."""
    text = response.headers.get("Retry-After", "")
    if not text:
        return 0.0
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1.0


def _network_errors() -> tuple[type[Exception], ...]:
    from urllib3.exceptions import HTTPError

    return (HTTPError, OSError)


def _sentence(error: Exception) -> str:
    """What a network failure comes down to, without the library's wrapping."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.NameResolutionError):
        return "the host's name cannot be resolved"
    if isinstance(error, exceptions.NewConnectionError):
        return "no connection can be made"
    if isinstance(error, exceptions.ConnectTimeoutError):
        return "connecting takes too long"
    if isinstance(error, exceptions.ReadTimeoutError):
        return "the server does not answer"
    if isinstance(error, exceptions.SSLError):
        return f"the server's certificate is not accepted ({error})"
    if isinstance(error, exceptions.ProxyError):
        cause = error.original_error
        is_down = isinstance(cause, exceptions.NewConnectionError | exceptions.ConnectTimeoutError)
        return "the proxy cannot be connected to" if is_down else f"the proxy refuses it ({cause})"
    if isinstance(error, exceptions.ProtocolError):
        return "the connection was cut"
    return str(error) or type(error).__name__
