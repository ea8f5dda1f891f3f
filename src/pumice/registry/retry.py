"""Retries requests after transient failures, with exponential backoff and jitter.

A Retry-After header is honored up to a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.registry import headers
from pumice.registry.errors import RegistryError, redact_url, status_phrase
from pumice.registry.message import Pause, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.message import Exchange, Request, Response, SendRequest

_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_BUSY = frozenset({408, 425, 429, 503})
"""Statuses of a server that did not process the request, so that any request may be repeated."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """When to give up. ``attempts`` is the number of failures in a row; times are in seconds."""

    attempts: int = 5
    initial_delay: float = 0.5
    max_delay: float = 20.0
    max_retry_after: float = 120.0


class Backoff:
    """Counts failures in a row and computes the pause after each."""

    def __init__(self, policy: RetryPolicy, jitter: Callable[[], float]) -> None:
        """``jitter`` returns numbers from 0 to 1."""
        self._policy = policy
        self._jitter = jitter
        self._failures = 0

    def reset(self) -> None:
        """Start counting from zero."""
        self._failures = 0

    def next_pause(self) -> Pause | None:
        """Count a failure; return the pause before the next attempt, None after the last one."""
        self._failures += 1
        if self._failures >= self._policy.attempts:
            return None
        max_delay = min(self._policy.max_delay, self._policy.initial_delay * 2 ** (self._failures - 1))
        return Pause(max_delay * (0.5 + self._jitter() / 2))


class Retrier:
    """Middleware that retries requests."""

    def __init__(
        self,
        send_request: SendRequest,
        policy: RetryPolicy,
        jitter: Callable[[], float],
        wall_clock: Callable[[], float],
    ) -> None:
        """``wall_clock`` returns seconds since the epoch, for a Retry-After with a date."""
        self._send_request = send_request
        self._policy = policy
        self._jitter = jitter
        self._wall_clock = wall_clock

    def __call__(self, request: Request) -> Exchange[Response]:
        """Send the request; raises TransportError, and RegistryError for a Retry-After over the limit."""
        backoff = Backoff(self._policy, self._jitter)
        while True:
            try:
                response = yield from self._send_request(request)
            except TransportError as error:
                pause = backoff.next_pause()
                if error.is_permanent or not request.is_repeatable or pause is None:
                    raise
                yield pause
                continue
            if response.status not in (_TRANSIENT if request.is_repeatable else _BUSY):
                return response
            retry_after = headers.parse_retry_after(response.header_values("Retry-After"), self._wall_clock())
            pause = backoff.next_pause()
            if pause is None:
                return response
            if retry_after is not None and retry_after > self._policy.max_retry_after:
                raise RegistryError(
                    f"the registry responded {status_phrase(response.status)}"
                    f" and asks to wait {retry_after:.0f} seconds",
                    where=redact_url(request.url),
                    hint="try again later, log in, or use a mirror",
                    status=response.status,
                )
            response.stream.close()
            yield pause if retry_after is None else Pause(max(retry_after, 0.05))
