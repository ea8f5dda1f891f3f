"""One request: who asks, what for, and the answer. The engine (RSGI) is here, its sockets are not.

The way of a pull that was asked for before is short on purpose: two look-ups for the user, one for the
answer, one for the rules, and a line of the log.
"""

from __future__ import annotations

import asyncio
import errno
from time import perf_counter
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import terminal
from pumice.errors import StoreError
from pumice.registry.server import bodies, calls, manifests, reads, request_checks, responses, writes
from pumice.registry.server.access import ANONYMOUS
from pumice.registry.server.accesslog import Line
from pumice.registry.server.bodies import Incoming
from pumice.registry.server.calls import Call
from pumice.registry.server.response_cache import Entry, Hot
from pumice.registry.server.responses import Answer, FileRange, Flow
from pumice.registry.server.storage.disk.filesystem import DiskFull
from pumice.registry.server.upload_handlers import Body, Pushing

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.server.access import Access
    from pumice.registry.server.accesslog import AccessLog
    from pumice.registry.server.bodies import Engine
    from pumice.registry.server.password_checks import PasswordChecks
    from pumice.registry.server.proxy import Proxy
    from pumice.registry.server.reads import Source
    from pumice.registry.server.storage.disk.storage import Storage
    from pumice.registry.server.threads import Threads
    from pumice.registry.server.writes import Offer

_FRESH = 60
"""Seconds for which an answer is given again without asking the storage."""

PROXIED = frozenset({"manifest", "blob", "tags", "referrers"})
_CARRY = frozenset({"POST", "PUT", "PATCH"})
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_log = terminal.get_logger("pumice.registry.server")


class Options(msgspec.Struct, frozen=True):
    """How the registry behaves."""

    read_only: str = ""
    """Why nobody may write; "" if somebody may."""
    sparse: bool = False
    body_timeout: float = 60.0
    hosts: tuple[str, ...] | None = None
    """The hosts that requests may be for, besides loopback; None: any."""
    web_pages: bool = True
    """Whether web pages may read; where everybody may write, they may do nothing."""


class App:
    """A registry at work: answers one request after the other, all in one thread but what takes long."""

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
        accept: Callable[[Offer], str | None] | None = None,
    ) -> None:
        self._storage = storage
        self._source: Source = storage
        self._proxy = proxy
        self._access = access
        self._run = threads.run
        self._options = options
        self._log = log
        self._accept = accept
        self._hot = Hot()
        self._passwords = passwords
        self._incoming = Incoming(options.body_timeout)
        self._pushing = Pushing(storage, threads)

    def forget(self) -> None:
        """Drop every remembered answer, after something else than a request changed the storage."""
        self._hot.clear()

    async def watch(self) -> None:
        """End requests whose bodies have stopped coming; runs as long as the server does."""
        await self._incoming.watch()

    async def serve(self, scope: Any, proto: Engine) -> None:
        """Answer one request; what goes wrong inside becomes 500 without details."""
        started = perf_counter()
        user: str | None = None
        body: Body | None = None
        try:
            if scope.method in _CARRY:
                user, body, answer = await self._carrying(scope, proto)
            else:
                user, refusal = await self._enter(scope)
                answer = (
                    refusal
                    or self._remembered(scope, user, started)
                    or await self._answer(scope, user, bodies.NOTHING)
                )
        except asyncio.CancelledError:
            answer = responses.error(responses.TOO_SLOW)
        except Exception as problem:  # noqa: BLE001 - whatever it was, the client gets an answer
            answer = _failed(problem)
        if scope.method == "HEAD" or not answer.length:
            proto.response_empty(answer.status, answer.headers)
        elif isinstance(answer.body, FileRange):
            part = answer.body
            proto.response_file_range(answer.status, answer.headers, part.path, part.start, part.end)
        elif isinstance(answer.body, Flow):
            await bodies.flow(proto, answer.status, answer.headers, answer.body)
        else:
            proto.response_bytes(answer.status, answer.headers, answer.body)
        if self._log is not None:
            self._note(scope, answer, user, body, started)

    async def _carrying(self, scope: Any, proto: Engine) -> tuple[str | None, Body, Answer]:
        """Answer a request that may have a body, which must not stop coming."""
        chunks = self._incoming.begin(proto)
        body = Body(chunks, bodies.declared(scope.headers))
        try:
            user, refusal = await self._enter(scope)
            answer = refusal or await self._answer(scope, user, body)
            if not chunks.ended and scope.headers.get("expect") is None:
                await chunks.drain()
            return user, body, answer
        finally:
            self._incoming.end()

    async def _enter(self, scope: Any) -> tuple[str | None, Answer | None]:
        """Return who it is, or why nobody gets in with this."""
        refusal = request_checks.malformed(scope)
        if refusal is None and self._options.hosts is not None:
            refusal = request_checks.reject_dns_rebinding(scope, self._options.hosts)
        if refusal is None and not self._options.web_pages:
            refusal = request_checks.reject_web_pages(scope)
        if refusal is not None:
            return None, refusal
        authorization = scope.headers.get("authorization")
        known, user = self._access.known(authorization)
        if known and user is not None:
            return user, None
        return await self._passwords.authenticate(authorization or "", scope.client)

    def _remembered(self, scope: Any, user: str | None, now: float) -> Answer | None:
        entry = self._hot.entries.get(scope.path)
        if (
            entry is None
            or user is None
            or entry.until < now
            or scope.method not in ("GET", "HEAD")
            or not self._access.may(user, entry.repository, writes=False)
        ):
            return None
        return _conditional(entry.answer, scope, is_blob=entry.is_blob)

    async def _answer(self, scope: Any, user: str | None, body: Body) -> Answer:
        call = calls.parse(scope.method, scope.path)
        if isinstance(call, Answer):
            return call
        refusal = self._refusal(call, scope, user)
        if refusal is not None:
            return refusal
        if call.writes:
            return await self._write(call, scope, user or ANONYMOUS, body)
        return await self._read(call, scope, user or ANONYMOUS)

    def _refusal(self, call: Call, scope: Any, user: str | None) -> Answer | None:
        if call.action in ("health", "catalog"):
            return None
        if call.action == "base":  # clients learn here whether to send passwords, so ask whenever they help
            if user == ANONYMOUS and self._access.policy.invites:
                return responses.error(
                    responses.UNAUTHORIZED, headers=[request_checks.CHALLENGE, request_checks.VERSION]
                )
            return None
        if self._access.may(user or ANONYMOUS, call.repository, writes=call.writes):
            if call.writes and self._options.read_only:
                headers = [("allow", "GET, HEAD")]
                return responses.error(responses.UNSUPPORTED, self._options.read_only, headers=headers)
            if call.writes and scope.headers.get("origin") is not None:
                return responses.error(responses.DENIED, "web pages may not write here")
            return None
        if user == ANONYMOUS and self._access.policy.passwords:
            return responses.error(
                responses.UNAUTHORIZED, headers=[request_checks.CHALLENGE, request_checks.VERSION]
            )
        what = "write to" if call.writes else "read"
        return responses.error(responses.DENIED, f"you may not {what} {calls.shown(call.repository)}")

    async def _read(self, call: Call, scope: Any, user: str) -> Answer:
        parameters = calls.query(scope.query_string)
        if self._proxy is not None and call.action in PROXIED:
            return await self._passed_on(self._proxy, call, scope, parameters)
        if call.action in ("manifest", "blob"):
            is_blob = call.action == "blob"
            answer = (reads.blob if is_blob else reads.manifest)(self._source, call)
            if answer.status != 200:
                return answer
            self._hot.keep(scope.path, Entry(call.repository, answer, is_blob, perf_counter() + _FRESH))
            return _conditional(answer, scope, is_blob=is_blob)
        if call.action == "tags":
            return await self._run(reads.tags, self._source, call, parameters)
        if call.action == "referrers":
            return await self._run(reads.referrers, self._source, call, parameters)
        if call.action == "catalog":
            return await self._run(reads.catalog, self._source, self._readable(user), parameters)
        return responses.document(200, {}, headers=[request_checks.VERSION])

    async def _passed_on(
        self, proxy: Proxy, call: Call, scope: Any, parameters: dict[str, list[str]]
    ) -> Answer:
        answer = await proxy.read(call, parameters, head=scope.method == "HEAD")
        if answer.status != 200 or call.action not in ("manifest", "blob"):
            return answer
        is_blob = call.action == "blob"
        if ":" in call.reference and answer.length and not isinstance(answer.body, Flow):
            self._hot.keep(scope.path, Entry(call.repository, answer, is_blob, perf_counter() + _FRESH))
        return _conditional(answer, scope, is_blob=is_blob)

    async def _write(self, call: Call, scope: Any, user: str, body: Body) -> Answer:
        parameters = calls.query(scope.query_string)
        content_range = scope.headers.get("content-range", "")
        action = call.action
        if action == "append":
            return await self._pushing.append(call, body, content_range)
        if action == "finish":
            return await self._pushing.finish(call, parameters, body, content_range)
        if action == "begin":
            return await self._pushing.begin(call, parameters, body, self._readable(user))
        if action == "status":
            return await self._pushing.status(call)
        if action == "cancel":
            return await self._pushing.cancel(call)
        try:
            if action == "put-manifest":
                return await self._put(call, parameters, scope.headers, body)
            if action == "delete-manifest":
                return await self._run(writes.delete_manifest, self._storage, call)
            return await self._run(writes.delete_blob, self._storage, call)
        finally:
            self._hot.forget(call.repository)

    async def _put(self, call: Call, parameters: dict[str, list[str]], headers: Any, body: Body) -> Answer:
        if body.declared is not None and body.declared > manifests.MAX_MANIFEST:
            return responses.error(responses.TOO_LARGE)
        pieces: list[bytes] = []
        async for chunk in body.chunks:
            body.received += len(chunk)
            if body.received > manifests.MAX_MANIFEST:
                return responses.error(responses.TOO_LARGE)
            pieces.append(chunk)
        if body.declared is not None and body.received != body.declared:
            return responses.error(responses.SIZE_INVALID)
        conditions = writes.Conditions(headers.get("if-match", ""), headers.get("if-none-match", ""))

        return await self._run(
            writes.put_manifest,
            self._storage,
            call,
            parameters,
            headers.get("content-type", ""),
            b"".join(pieces),
            conditions=conditions,
            accept=self._accept,
            sparse=self._options.sparse,
        )

    def _readable(self, user: str) -> Callable[[str], bool]:
        return lambda repository: self._access.may(user, repository, writes=False)

    def _note(self, scope: Any, answer: Answer, user: str | None, body: Body | None, started: float) -> None:
        log = self._log
        if log is None:
            return
        log.add(
            Line(
                log.stamp(),
                scope.client,
                scope.method,
                scope.path,
                answer.status,
                0 if scope.method == "HEAD" else answer.length,
                round((perf_counter() - started) * 1000, 3),
                user or "",
                scope.query_string,
                scope.headers.get("user-agent", ""),
                body.received if body is not None else 0,
            )
        )


def _conditional(whole: Answer, scope: Any, *, is_blob: bool) -> Answer:
    """Return the whole, a part, or that nothing changed, as the request's headers ask (RFC 9110, 13, 14)."""
    headers = scope.headers
    tags = headers.get("if-none-match")
    if tags is not None and reads.matches(whole, tags):
        return reads.unchanged(whole)
    if not is_blob or scope.method != "GET":
        return whole
    wanted = headers.get("range")
    if wanted is None:
        return whole
    unless = headers.get("if-range")
    if unless is not None and not reads.matches(whole, unless):
        return whole
    return reads.part(whole, wanted)


def _failed(problem: Exception) -> Answer:
    """Return 500, or 507 when the disk is full; the reason goes to the operator and not to the client."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, DiskFull) or (isinstance(cause, OSError) and cause.errno in _NO_SPACE):
            _log.error("%s", problem)
            return responses.error(responses.NO_SPACE)
        cause = cause.__cause__
    if isinstance(problem, StoreError):
        _log.error("%s: %s", problem.where or "the registry", problem.message)
    else:
        _log.error("a request failed", exc_info=problem)
    return responses.error(responses.BROKEN)
