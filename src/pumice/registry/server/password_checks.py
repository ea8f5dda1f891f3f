"""Passwords under attack: checked in turns, in threads of their own, with failures that tell nothing.

Checking a password is slow on purpose, so whoever sends many could keep everybody else waiting, and how
long an answer takes could tell which users exist. Therefore:

- Logins that were checked before never get here (`Access.known`).
- Checks run in a pool of their own: reading and writing the registry goes on meanwhile.
- Names of users and names of nobody do not wait for each other. Each pair of a name and an address takes
  turns with the others, so a flood delays its own kind.
- A failure is answered at a fixed time after the request, whatever was found out when. Only a right
  password is answered sooner, which tells its owner nothing new.
- A pair may have a few failures under way, and more get 429, for users and for nobody alike.
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
    from pumice.registry.server.responses import Answer

PENDING = 8
"""Passwords that one address may try for one name at once; more get 429."""
_MOST_THREADS = 4
_FAILURE_SECONDS = 1.0

_Key = tuple[str, str]
"""A user's name, and the address that it comes from."""


class PasswordChecks:
    """The passwords that are being checked. Used by the server's one thread."""

    def __init__(self, access: Access, *, failure_seconds: float = _FAILURE_SECONDS) -> None:
        """``failure_seconds`` is how long the answer to a wrong password takes, or a multiple of it."""
        self._access = access
        workers = max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // 2))
        self._pools = [ThreadPoolExecutor(workers, f"passwords-{kind}") for kind in ("known", "unknown")]
        self._users, self._nobodies = (_Turns(Threads(pool), workers) for pool in self._pools)
        # One pair's checks must be over before their answers are due, or the delay would tell of them.
        self._quantum = max(failure_seconds, 2 * PENDING * access.seconds / workers)
        self._pending: dict[_Key, int] = {}
        self._under_way: dict[bytes, asyncio.Task[tuple[str | None, Answer | None]]] = {}

    def close(self) -> None:
        """Let go of the threads; what they still check is worth nothing any more."""
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)

    async def authenticate(self, authorization: str, client: str) -> tuple[str | None, Answer | None]:
        """Return the user of an Authorization header, or the answer to one that is not right.

        ``client`` is the address that it comes from, with its port.
        """
        # Clients open several connections at once, all with the same header: one check is enough. Asked
        # first, because what was found out about it must not be told before the answer is due.
        header = self._access.fingerprint(authorization)
        task = self._under_way.get(header)
        if task is None:
            known, user = self._access.known(authorization)
            name = self._access.name(authorization)
            if known or name is None:
                return _result(user)
            key = (name, client.rpartition(":")[0])
            if self._pending.get(key, 0) >= PENDING:
                return None, responses.error(responses.TOO_MANY_REQUESTS, headers=[("retry-after", "1")])
            task = self._begin(authorization, key, header)
        return await asyncio.shield(task)  # others may wait for it when this client goes away

    def _begin(
        self, authorization: str, key: _Key, header: bytes
    ) -> asyncio.Task[tuple[str | None, Answer | None]]:
        def ended(_: object) -> None:
            del self._under_way[header]
            self._pending[key] -= 1
            if not self._pending[key]:
                del self._pending[key]

        task = asyncio.get_running_loop().create_task(self._judge(authorization, key))
        self._under_way[header] = task
        self._pending[key] = self._pending.get(key, 0) + 1
        task.add_done_callback(ended)
        return task

    async def _judge(self, authorization: str, key: _Key) -> tuple[str | None, Answer | None]:
        loop = asyncio.get_running_loop()
        started = loop.time()
        user = None
        if self._access.exists(key[0]):
            user = await self._users.take(key, lambda: self._access.check(authorization))
        elif self._nobodies.is_busy:
            self._access.reject(authorization)
        else:
            await self._nobodies.take(key, lambda: self._access.check(authorization))
        if user is None:
            due = max(1, math.ceil((loop.time() - started) / self._quantum)) * self._quantum
            await asyncio.sleep(started + due - loop.time())
        return _result(user)


def _result(user: str | None) -> tuple[str | None, Answer | None]:
    if user is not None:
        return user, None
    headers = [CHALLENGE, VERSION]
    return None, responses.error(
        responses.UNAUTHORIZED, "the user name or password is wrong", headers=headers
    )


class _Turns:
    """Runs checks in a few threads. Keys take turns, so that one with many does not delay the others."""

    def __init__(self, threads: Threads, workers: int) -> None:
        self._run = threads.run
        self._workers = workers
        self._running: set[asyncio.Task[None]] = set()
        self._waiting: dict[_Key, deque[tuple[asyncio.Future[str | None], Callable[[], str | None]]]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether more waits than can be done soon."""
        return len(self._waiting) >= PENDING * self._workers

    async def take(self, key: _Key, check: Callable[[], str | None]) -> str | None:
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
                self._waiting[key] = queue  # at the end: it is the turn of the others first
            task = asyncio.get_running_loop().create_task(self._finish(future, check))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _finish(self, future: asyncio.Future[str | None], check: Callable[[], str | None]) -> None:
        try:
            result = await self._run(check)
        except Exception as problem:  # noqa: BLE001 - whoever waits for it gets it
            if not future.done():
                future.set_exception(problem)
        else:
            if not future.done():
                future.set_result(result)
