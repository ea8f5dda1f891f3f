"""Handles requests: authenticates the client, checks its rights, and calls the handler of the endpoint.

The path of a repeated pull is short on purpose: two look-ups for the user, one for the cached response,
one for the access rules, and a line for the log.
"""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec

from pumice import terminal
from pumice.errors import StoreError
from pumice.os_errors import NO_SPACE
from pumice.registry.server import bodies, grammar, read_handlers, request_checks, responses
from pumice.registry.server.access import ANONYMOUS
from pumice.registry.server.access_log import Line
from pumice.registry.server.bodies import IncomingBodies
from pumice.registry.server.calls import Body, RegistryCall, parse_query
from pumice.registry.server.context import HandlerContext
from pumice.registry.server.endpoints import Right, find_endpoint
from pumice.registry.server.response_cache import CacheEntry, ResponseCache
from pumice.registry.server.responses import FileRange, ServerResponse, Stream
from pumice.registry.server.storage.protocol import StorageFullError
from pumice.registry.server.upload_transfers import UploadTransfers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.server.access import Access
    from pumice.registry.server.access_log import AccessLog
    from pumice.registry.server.endpoints import EndpointMatch
    from pumice.registry.server.offer import Offer
    from pumice.registry.server.password_checks import PasswordChecks
    from pumice.registry.server.proxy import Proxy
    from pumice.registry.server.rsgi import Scope, Transport
    from pumice.registry.server.storage.protocol import Storage
    from pumice.registry.server.threads import Threads

_CACHE_SECONDS = 60
"""How long a response is served from the cache without asking the storage."""

_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_log = terminal.get_logger("pumice.registry.server")


class Options(msgspec.Struct, frozen=True):
    """How the registry behaves."""

    read_only_reason: str = ""
    """Why the server rejects all writes; "" if it accepts them."""
    allow_missing_blobs: bool = False
    body_timeout: float = 60.0
    """Seconds without data after which a request with a body ends."""
    hosts: tuple[str, ...] | None = None
    """The hosts that requests may be for, in addition to loopback; None for any."""
    allow_web_pages: bool = True
    """Whether web pages may read. They may not if anonymous clients may write."""


class App:
    """The request handler of a server. Everything runs in one thread, except for slow work."""

    def __init__(
        self,
        storage: Storage,
        access: Access,
        *,
        threads: Threads,
        passwords: PasswordChecks,
        options: Options,
        log: AccessLog | None = None,
        proxy: Proxy | None = None,
        refuse_offer: Callable[[Offer], str | None] | None = None,
    ) -> None:
        self._proxy = proxy
        self._access = access
        self._threads = threads
        self._options = options
        self._log = log
        self._cache = ResponseCache()
        self._passwords = passwords
        self._incoming_bodies = IncomingBodies(options.body_timeout)
        self._context = HandlerContext(
            storage=storage,
            threads=threads,
            access=access,
            response_cache=self._cache,
            upload_transfers=UploadTransfers(),
            refuse_offer=refuse_offer,
            allow_missing_blobs=options.allow_missing_blobs,
        )

    def clear_cache(self) -> None:
        """Drop all cached responses, after something other than a request changed the storage."""
        self._cache.clear()

    async def watch(self) -> None:
        """End requests whose bodies have stopped arriving; runs as long as the server does."""
        await self._incoming_bodies.watch()

    async def serve(self, scope: Scope, transport: Transport) -> None:
        """Respond to one request; an internal failure becomes 500 without details."""
        started = perf_counter()
        user: str | None = None
        body: Body | None = None
        try:
            if scope.method in _METHODS_WITH_BODY:
                user, body, response = await self._respond_to_body(scope, transport)
            else:
                user, rejection = await self._authenticate(scope)
                response = (
                    rejection
                    or self._cached_response(scope, user, started)
                    or await self._respond(scope, user, bodies.EMPTY)
                )
        except asyncio.CancelledError:
            response = responses.error(responses.BODY_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the client gets a response to any failure
            response = _failure_response(error)
        content = response.body
        if scope.method == "HEAD" or not response.length:
            transport.response_empty(response.status, response.headers)
        elif isinstance(content, FileRange):
            transport.response_file_range(
                response.status, response.headers, content.path, content.start, content.end
            )
        elif isinstance(content, bytes):
            transport.response_bytes(response.status, response.headers, content)
        elif isinstance(content, Stream):
            await bodies.send_stream(transport, response.status, response.headers, content)
        else:
            await bodies.send_content(transport, response.status, response.headers, content, self._threads)
        if self._log is not None:
            self._log_request(self._log, scope, response, user, body, started)

    async def _respond_to_body(
        self, scope: Scope, transport: Transport
    ) -> tuple[str | None, Body, ServerResponse]:
        """Respond to a request that may have a body; it fails if the body stops arriving."""
        chunks = self._incoming_bodies.begin(transport)
        body = Body(chunks, bodies.declared_size(scope.headers))
        try:
            user, rejection = await self._authenticate(scope)
            response = rejection or await self._respond(scope, user, body)
            if not chunks.is_complete and scope.headers.get("expect") is None:
                await chunks.drain()
            return user, body, response
        finally:
            self._incoming_bodies.end()

    async def _authenticate(self, scope: Scope) -> tuple[str | None, ServerResponse | None]:
        """Return the user of a request, or the response that rejects it."""
        rejection = request_checks.reject_malformed(scope)
        if rejection is None and self._options.hosts is not None:
            rejection = request_checks.reject_dns_rebinding(scope, self._options.hosts)
        if rejection is None and not self._options.allow_web_pages:
            rejection = request_checks.reject_web_pages(scope)
        if rejection is not None:
            return None, rejection
        authorization = scope.headers.get("authorization")
        is_known, user = self._access.look_up(authorization)
        if is_known and user is not None:
            return user, None
        return await self._passwords.authenticate(authorization or "", scope.client)

    def _cached_response(self, scope: Scope, user: str | None, now: float) -> ServerResponse | None:
        entry = self._cache.entries.get(scope.path)
        if (
            entry is None
            or user is None
            or entry.expires < now
            or scope.method not in ("GET", "HEAD")
            or not self._access.is_allowed(user, entry.repository, to_write=False)
        ):
            return None
        return _apply_conditions(entry.response, scope)

    async def _respond(self, scope: Scope, user: str | None, body: Body) -> ServerResponse:
        match = find_endpoint(scope.method, scope.path)
        if isinstance(match, ServerResponse):
            return match
        user = user or ANONYMOUS
        rejection = self._check_right(match, scope, user)
        if rejection is not None:
            return rejection
        endpoint = match.endpoint
        call = RegistryCall(
            repository=match.repository,
            reference=match.reference,
            user=user,
            parameters=parse_query(scope.query_string),
            headers=scope.headers,
            body=body,
            is_head=scope.method == "HEAD",
        )
        generation = self._cache.generation
        if self._proxy is not None and endpoint.proxied is not None:
            response = await endpoint.proxied(self._proxy, call)
        else:
            response = await endpoint.handler(self._context, call)
        if not endpoint.content or response.status != 200:
            return response
        if self._proxy is None or _is_immutable(call, response):
            expires = perf_counter() + _CACHE_SECONDS
            self._cache.put(scope.path, CacheEntry(call.repository, response, expires), generation)
        return _apply_conditions(response, scope)

    def _check_right(self, match: EndpointMatch, scope: Scope, user: str) -> ServerResponse | None:
        """Return the response that denies an endpoint to ``user``; None if it may be used."""
        right = match.endpoint.right
        if right is Right.NONE:
            return None
        if right is Right.LOGIN:  # clients learn here whether to send passwords, so challenge if those help
            if user == ANONYMOUS and self._access.policy.rewards_login:
                return _challenge()
            return None
        to_write = right is Right.WRITE
        if self._access.is_allowed(user, match.repository, to_write=to_write):
            return self._check_write(scope) if to_write else None
        if user == ANONYMOUS and self._access.policy.has_users:
            return _challenge()
        action = "write to" if to_write else "read"
        message = f"no permission to {action} {grammar.quote(match.repository)}"
        return responses.error(responses.DENIED, message)

    def _check_write(self, scope: Scope) -> ServerResponse | None:
        if self._options.read_only_reason:
            headers = [("allow", "GET, HEAD")]
            return responses.error(responses.UNSUPPORTED, self._options.read_only_reason, headers=headers)
        if scope.headers.get("origin") is not None:
            return responses.error(responses.DENIED, "web pages may not write to this registry")
        return None

    def _log_request(
        self,
        log: AccessLog,
        scope: Scope,
        response: ServerResponse,
        user: str | None,
        body: Body | None,
        started: float,
    ) -> None:
        log.add(
            Line(
                log.timestamp(),
                scope.client,
                scope.method,
                scope.path,
                response.status,
                0 if scope.method == "HEAD" else response.length,
                round((perf_counter() - started) * 1000, 3),
                user or "",
                scope.query_string,
                scope.headers.get("user-agent") or "",
                body.received if body is not None else 0,
            )
        )


def _challenge() -> ServerResponse:
    headers = [request_checks.CHALLENGE, request_checks.VERSION]
    return responses.error(responses.UNAUTHORIZED, headers=headers)


def _is_immutable(call: RegistryCall, response: ServerResponse) -> bool:
    """Return whether a proxy's response stays valid: content with a digest, present as a whole."""
    return ":" in call.reference and response.length > 0 and not isinstance(response.body, Stream)


def _apply_conditions(response: ServerResponse, scope: Scope) -> ServerResponse:
    """Return the whole response, a part of it, or 304, as the request's headers ask (RFC 9110, 13, 14)."""
    headers = scope.headers
    etags = headers.get("if-none-match")
    if etags is not None and read_handlers.matches_etag(response, etags):
        return read_handlers.not_modified(response)
    if not response.supports_ranges or scope.method != "GET":
        return response
    byte_range = headers.get("range")
    if byte_range is None:
        return response
    if_range = headers.get("if-range")
    if if_range is not None and not read_handlers.matches_etag(response, if_range):
        return response
    return read_handlers.apply_range(response, byte_range)


def _failure_response(error: Exception) -> ServerResponse:
    """Return 500, or 507 when the storage is full; the log has the reason, the response does not."""
    cause: BaseException | None = error
    while cause is not None:
        is_full = isinstance(cause, OSError) and cause.errno in NO_SPACE
        if is_full or isinstance(cause, StorageFullError):
            _log.error("%s", error)
            return responses.error(responses.NO_SPACE)
        cause = cause.__cause__
    if isinstance(error, StoreError):
        _log.error("%s: %s", error.where or "the registry", error.message)
    else:
        _log.error("a request failed", exc_info=error)
    return responses.error(responses.INTERNAL_ERROR)
