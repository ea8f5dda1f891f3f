"""When a request is made once more, and how long to wait before.

Exponential backoff with full jitter; a Retry-After is kept to, up to a limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.registry import headers
from pumice.registry.errors import RegistryError, phrase, shown
from pumice.registry.message import Pause, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.message import Ask, Request, Response, Steps

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_BUSY = frozenset({408, 425, 429, 503})
"""The server has not begun: sending again what is not `again` does no harm either."""


class Policy(msgspec.Struct, frozen=True):
    """How patient to be. ``attempts`` counts failures in a row; times are in seconds."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 20.0
    longest_asked: float = 120.0


class Backoff:
    """Counts failures in a row, and says how long to wait after each."""

    def __init__(self, policy: Policy, jitter: Callable[[], float]) -> None:
        """``jitter`` gives numbers from 0 to 1."""
        self._policy = policy
        self._jitter = jitter
        self._failures = 0

    def succeeded(self) -> None:
        """Begin to count anew."""
        self._failures = 0

    def failed(self) -> Pause | None:
        """Count a failure; return how long to wait, None when it is enough."""
        self._failures += 1
        if self._failures >= self._policy.attempts:
            return None
        longest = min(self._policy.longest, self._policy.first * 2 ** (self._failures - 1))
        return Pause(longest * (0.5 + self._jitter() / 2))


class Retrying:
    """Asks again what may work the next time."""

    def __init__(
        self, ask: Ask, policy: Policy, jitter: Callable[[], float], now: Callable[[], float]
    ) -> None:
        """``now`` gives seconds since the epoch, for a Retry-After that is a date."""
        self._ask = ask
        self._policy = policy
        self._jitter = jitter
        self._now = now

    def __call__(self, request: Request) -> Steps[Response]:
        """Ask; raises TransportError, RegistryError when the registry wants to be left alone too long."""
        backoff = Backoff(self._policy, self._jitter)
        while True:
            try:
                response = yield from self._ask(request)
            except TransportError as error:
                pause = backoff.failed()
                if error.lasting or not request.again or pause is None:
                    raise
                yield pause
                continue
            if response.status not in (_PASSING if request.again else _BUSY):
                return response
            wanted = headers.wait(response.all("Retry-After"), self._now())
            pause = backoff.failed()
            if pause is None:
                return response
            if wanted is not None and wanted > self._policy.longest_asked:
                raise RegistryError(
                    f"the registry answers {phrase(response.status)} and wants {wanted:.0f} seconds of rest",
                    where=shown(request.url),
                    hint="try again later, log in, or use a mirror",
                    status=response.status,
                )
            response.stream.close()
            yield pause if wanted is None else Pause(max(wanted, 0.05))
