"""Checks of passwords and tokens that withstand floods and do not reveal which users exist.

Checking a password is slow on purpose, so a client that sends many could keep all others waiting, and the
time of a response could tell which users exist. Therefore:

- Headers that were checked before do not get here (`Access.look_up`).
- Checks run in thread pools of their own, so that requests for content continue meanwhile.
- Names of users and unknown names do not wait for each other. The pairs of a name and an address take
  turns, so that a flood delays only its own kind.
- A failure is answered at a fixed time after the request, whenever the result was known. Only a right
  password is answered sooner, which tells its owner nothing new.
- A pair may have a few checks in progress; more get 429, for users and unknown names alike.
- Tokens have threads of their own, because the keys of their issuer may have to be fetched.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pumice.registry.server import responses
from pumice.registry.server.request_checks import CHALLENGE, VERSION
from pumice.registry.server.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.server.access import Access
    from pumice.registry.server.responses import ServerResponse

    AuthenticationResult = tuple[str | None, ServerResponse | None]

MAX_PENDING = 8
"""Passwords that one address may try for one name at once; more get 429."""
_MAX_THREADS = 4
_TOKEN_THREADS = 2
_FAILURE_SECONDS = 1.0

_Key = tuple[str, str]
"""A user name, and the address of the client."""


class PasswordChecks:
    """The password checks in progress. Used by the thread of the server."""

    def __init__(self, access: Access, *, failure_seconds: float = _FAILURE_SECONDS) -> None:
        """The response to a wrong password takes a multiple of ``failure_seconds``."""
        self._access = access
        workers = max(1, min(_MAX_THREADS, (os.cpu_count() or 1) // 2))
        self._pools = [ThreadPoolExecutor(workers, f"passwords-{kind}") for kind in ("known", "unknown")]
        self._user_checks, self._unknown_checks = (_TurnQueue(Threads(pool), workers) for pool in self._pools)
        self._pools.append(ThreadPoolExecutor(_TOKEN_THREADS, "tokens"))
        self._token_checks = _TurnQueue(Threads(self._pools[-1]), _TOKEN_THREADS)
        # All checks of a pair must end before their responses are due, or the delay would reveal them.
        self._quantum = max(failure_seconds, 2 * MAX_PENDING * access.check_seconds / workers)
        self._pending: dict[_Key, int] = {}
        self._tasks: dict[bytes, asyncio.Task[AuthenticationResult]] = {}

    def close(self) -> None:
        """Release the threads without waiting for checks in progress."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    async def authenticate(self, authorization: str, client: str) -> AuthenticationResult:
        """Return the user of an Authorization header, or the response to a wrong one.

        ``client`` is the address of the client with its port.
        """
        # Clients open several connections at once, all with the same header: one check is enough. This
        # comes first, because a result that is known must not be returned before the response is due.
        fingerprint = self._access.fingerprint(authorization)
        task = self._tasks.get(fingerprint)
        if task is None:
            is_known, user = self._access.look_up(authorization)
            name = "" if self._access.has_token(authorization) else self._access.user_name(authorization)
            if is_known or name is None:
                return _result(user)
            key = (name, client.rpartition(":")[0])
            if self._pending.get(key, 0) >= MAX_PENDING:
                return None, responses.error(responses.TOO_MANY_REQUESTS, headers=[("retry-after", "1")])
            task = self._begin(authorization, key, fingerprint)
        return await asyncio.shield(task)  # other requests may wait for it when this client goes away

    def _begin(self, authorization: str, key: _Key, fingerprint: bytes) -> asyncio.Task[AuthenticationResult]:
        def forget(_: object) -> None:
            del self._tasks[fingerprint]
            self._pending[key] -= 1
            if not self._pending[key]:
                del self._pending[key]

        task = asyncio.get_running_loop().create_task(self._check(authorization, key))
        self._tasks[fingerprint] = task
        self._pending[key] = self._pending.get(key, 0) + 1
        task.add_done_callback(forget)
        return task

    async def _check(self, authorization: str, key: _Key) -> AuthenticationResult:
        if self._access.has_token(authorization):
            return await self._check_token(authorization, key)
        loop = asyncio.get_running_loop()
        started = loop.time()
        user = None
        if self._access.has_user(key[0]):
            user = await self._user_checks.run(key, lambda: self._access.check_password(authorization))
        elif self._unknown_checks.is_busy:
            self._access.reject(authorization)
        else:
            await self._unknown_checks.run(key, lambda: self._access.check_password(authorization))
        if user is None:
            due = max(1, math.ceil((loop.time() - started) / self._quantum)) * self._quantum
            await asyncio.sleep(started + due - loop.time())
        return _result(user)

    async def _check_token(self, authorization: str, key: _Key) -> AuthenticationResult:
        """Return the user of a token, or the response that gives the reason for its refusal."""
        reasons: list[str] = []

        def check() -> str | None:
            user, reason = self._access.check_token(authorization)
            reasons.append(reason)
            return user

        user = await self._token_checks.run(key, check)
        return _result(user, reasons[0])


def _result(user: str | None, reason: str = "wrong user name or password") -> AuthenticationResult:
    if user is not None:
        return user, None
    return None, responses.error(responses.UNAUTHORIZED, reason, headers=[CHALLENGE, VERSION])


class _TurnQueue:
    """Runs checks in a few threads. Keys take turns, so that one with many checks does not delay others."""

    def __init__(self, threads: Threads, workers: int) -> None:
        self._run_in_thread = threads.run
        self._workers = workers
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: dict[_Key, deque[tuple[asyncio.Future[str | None], Callable[[], str | None]]]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether more checks wait than can be done soon."""
        return len(self._waiting) >= MAX_PENDING * self._workers

    async def run(self, key: _Key, check: Callable[[], str | None]) -> str | None:
        """Wait for a turn of ``key``, call ``check`` in a thread, and return its result."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append((future, check))
        self._start()
        return await future

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._workers:
            key = next(iter(self._waiting))
            queue = self._waiting.pop(key)
            future, check = queue.popleft()
            if queue:
                self._waiting[key] = queue  # at the end, after the other keys
            task = asyncio.get_running_loop().create_task(self._complete(future, check))
            self._running.add(task)
            task.add_done_callback(self._start_next)

    def _start_next(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _complete(self, future: asyncio.Future[str | None], check: Callable[[], str | None]) -> None:
        try:
            result = await self._run_in_thread(check)
        except Exception as error:  # noqa: BLE001 - the one who waits for the future gets any error
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)
