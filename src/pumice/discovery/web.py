"""HTTP for discovery: redirects, logins and addresses, none of which the other side can abuse.

- A login is sent over https only, and only to the host that it is for.
- Nothing leads from https to http, or to another scheme, unless TLS is not verified at all.
- Nothing that a server says leads to an address of a private network or of this machine, unless the first
  host has such an address itself. The address that was connected to counts, not the name.
"""

from __future__ import annotations

import random
import time
from enum import IntEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from pumice.errors import FetchError
from pumice.formats import hosts
from pumice.registry import content_encoding, headers
from pumice.registry.address_checks import RefusedAddressError
from pumice.registry.errors import redact_url
from pumice.registry.message import Pause, Request, Response, TransportError
from pumice.registry.reference import Repository
from pumice.registry.retry import Backoff, RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.credentials import Credentials
    from pumice.registry.message import Header, Transport

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK = 1 << 16
_MAX_SECONDS = 60.0
"""The longest time to read one page, a key or a signature."""
POLICY = RetryPolicy(attempts=4, initial_delay=0.25, max_delay=4.0, max_retry_after=30.0)


class Reach(IntEnum):
    """How far a server may send its clients: only to public addresses, to private ones, to this machine."""

    PUBLIC = 0
    PRIVATE = 1
    LOCAL = 2


def find_reach(address: str) -> Reach:
    """Return the reach of a server with an address, which a proxy may hide."""
    if hosts.is_local(address):
        return Reach.LOCAL
    return Reach.PRIVATE if address and hosts.is_private(address) else Reach.PUBLIC


class WebPage(msgspec.Struct, frozen=True):
    """A response that was read: at most the requested number of bytes, and ``is_cut`` if there are more."""

    status: int
    headers: Response
    content: bytes
    url: str
    is_cut: bool = False


class Web:
    """Sends the requests for one name. The first host is the one that the user named."""

    def __init__(
        self,
        transport: Transport,
        credentials: Credentials,
        *,
        sleep: Callable[[float], object],
        allow_http: bool = False,
        reach: Reach | None = None,
        limit: Reach | None = None,
        policy: RetryPolicy = POLICY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``allow_http``: TLS is not verified, so http will do. ``reach`` is that of the first host.

        ``limit`` is the reach of the server that named the first host, None if a person did. ``clock``
        returns seconds since any moment.
        """
        self._limit = limit
        self._clock = clock
        self.transport = transport
        self.reach = reach
        self.allow_http = allow_http
        self.sleep = sleep
        self._credentials = credentials
        self._policy = policy
        self._first_host = ""

    def begin(self, url: str) -> None:
        """Name the host that the user named; its address says how far servers may lead."""
        self._first_host = self._first_host or _host(url)

    def allows(self, reach: int) -> bool:
        """Return whether the first host may have a reach."""
        return self._limit is None or reach <= self._limit

    def get(self, url: str, *, limit: int, extra: tuple[Header, ...] = ()) -> WebPage:
        """Return at most ``limit`` bytes of a page; raises FetchError, TransportError."""
        backoff = self.backoff()
        while True:
            try:
                return self._read(self.open(url, extra), limit)
            except TransportError as error:
                pause = backoff.next_pause()
                if error.is_permanent or pause is None:
                    raise
                self.sleep(pause.seconds)

    def open(self, url: str, extra: tuple[Header, ...] = ()) -> Response:
        """Send a request and follow redirects; the body of the response is not read.

        Raises FetchError, and TransportError if a connection fails.
        """
        first_url, visited = url, set()
        for _ in range(MAX_REDIRECTS + 1):
            if url in visited:
                raise FetchError("the server redirects in a loop", where=redact_url(first_url))
            visited.add(url)
            response = self._send_patiently(url, extra)
            if response.status not in _REDIRECTS or not response.header("Location"):
                return msgspec.structs.replace(response, url=url)
            response.stream.close()
            url = self._resolve_redirect(url, response.header("Location"))
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", where=redact_url(first_url))

    def backoff(self) -> Backoff:
        """Return a new count of failures."""
        return Backoff(self._policy, random.random)

    def check_url(self, url: str) -> None:
        """Raise FetchError for a URL, from a page or a redirect, that must not be followed."""
        try:
            parts = urlsplit(url)
            host = parts.hostname or ""
            parts.port  # noqa: B018 - urllib parses the port only when it is read
        except ValueError:
            host = ""
        if not host or parts.username is not None:
            raise FetchError("the URL is not valid", where=redact_url(url)[:200])
        if parts.scheme not in ("http", "https"):
            raise FetchError(
                f"the URL has the scheme {parts.scheme[:40]!r}: only https is supported",
                where=redact_url(url)[:200],
            )
        if parts.scheme == "http" and not self.allow_http:
            raise FetchError(
                "refusing http: the connection is not protected",
                where=redact_url(url)[:200],
                hint="pass --tls-verify=false to allow it",
            )
        if _host(url) != self._first_host and self.reach is not None:
            too_far = self.reach < Reach.LOCAL and hosts.is_local(host)
            if too_far or (self.reach < Reach.PRIVATE and hosts.is_private(host)):
                raise _refused_address(url, "local" if too_far else "private")

    def _resolve_redirect(self, url: str, location: str) -> str:
        target = headers.resolve_url(url, location)
        if not target:
            raise FetchError("the server redirects to an unusable URL", where=redact_url(url))
        self.check_url(target)
        return target

    def _send_patiently(self, url: str, extra: tuple[Header, ...]) -> Response:
        """Send a request, again if the server is busy; the last response counts."""
        backoff = self.backoff()
        while True:
            response = self._send(url, extra)
            if response.status not in _TRANSIENT:
                return response
            pause = backoff.next_pause()
            wait = headers.parse_retry_after(response.header_values("Retry-After"), 0.0)
            if pause is None or (wait is not None and wait > self._policy.max_retry_after):
                return response
            response.stream.close()
            self.sleep((Pause(wait) if wait else pause).seconds)

    def _send(self, url: str, extra: tuple[Header, ...]) -> Response:
        limits = (reach for reach in (self.reach, self._limit) if reach is not None)
        limit = min(limits, default=Reach.LOCAL)
        request = Request(
            "GET",
            url,
            (*extra, *self._authorization(url)),
            stream=True,
            refuse_local_address=limit < Reach.LOCAL,
            refuse_private_address=limit < Reach.PRIVATE,
        )
        try:
            response = self.transport.send(request)
        except RefusedAddressError as error:
            raise _refused_address(url, "private" if "private" in error.message else "local") from None
        if self.reach is None:
            self.reach = find_reach(response.peer)
        return response

    def _authorization(self, url: str) -> tuple[Header, ...]:
        parts = urlsplit(url)
        if parts.scheme != "https":
            return ()
        host = parts.netloc.lower().removesuffix(":443")  # a login is for a host as people write it
        login = self._credentials.find_login(Repository(host, parts.path.strip("/")))
        if login is None:
            return ()
        if login.registry_token:
            return (("Authorization", f"Bearer {login.registry_token}"),)
        value = login.basic_authorization
        return (("Authorization", value),) if value else ()

    def _read(self, response: Response, limit: int) -> WebPage:
        content = bytearray()
        deadline = self._clock() + _MAX_SECONDS
        try:
            stream = content_encoding.decode_response(response).stream
            while len(content) <= limit and (data := stream.read(_CHUNK)):
                content += data
                if self._clock() > deadline:
                    raise FetchError("the server sends too slowly", where=redact_url(response.url))
        finally:
            response.stream.close()
        is_cut = len(content) > limit
        return WebPage(response.status, response, bytes(content[:limit]), response.url, is_cut)


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower()


def _refused_address(url: str, kind: str) -> FetchError:
    return FetchError(
        f"refusing to connect to a {kind} address",
        where=redact_url(url)[:200],
        hint="a server may lead to such an address only if it has one itself",
    )
