"""Decides which pieces a downloader fetches from the origin (the HTTP server) and which from other peers.

The origin should send each piece to one downloader only, who gives it to the others. So each downloader
takes pieces that no peer has, one by one in random order: two rarely take the same. What a peer has is left
to the peers while they make progress. Without peers, or if they are slow, the origin sends everything, in
long runs. Nothing here does input or output; the clock and randomness come from the caller.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

STALL_SECONDS = 1.5
MIN_RATE = 512 << 10
"""Bytes per second below which peers do not count as making progress."""

_FIRST_WAIT = (0.1, 0.6)
_LONG_RUN = 32 << 20
_FEW = 8
_LAST_WAIT = 1.0


class SwarmState(msgspec.Struct, frozen=True):
    """What a downloader knows at one moment.

    ``has`` says which pieces it has, ``availability`` how many connected peers have each. ``received`` is
    the number of bytes that peers have sent. ``is_alone``: the tracker has named no peer, or there is none.
    """

    now: float
    has: Sequence[bool]
    availability: Sequence[int]
    peers: int
    received: int
    is_alone: bool


class OriginPolicy:
    """Chooses the next pieces to fetch from the origin."""

    def __init__(self, piece_size: int, now: float, choose: random.Random) -> None:
        self._piece_size = piece_size
        self._random = choose
        self._start = now + choose.uniform(*_FIRST_WAIT)
        self._measured_at = now
        self._received = 0
        self._is_stalled = False
        self._last_piece_at: float | None = None

    def choose_run(self, state: SwarmState) -> range:
        """Return the pieces to fetch now, one after the other; empty to leave everything to peers."""
        self._measure(state)
        missing = [index for index, has in enumerate(state.has) if not has]
        if not missing or (state.now < self._start and not state.is_alone):
            return range(0)
        if not state.peers:
            return self._run_from(self._random.choice(missing), state, _LONG_RUN)
        rare = [index for index in missing if not self._is_available(state, index)]
        if rare:
            return self._take_rare(rare, state)
        if self._is_stalled:
            return self._run_from(self._random.choice(missing), state, self._piece_size)
        return range(0)

    def _take_rare(self, rare: list[int], state: SwarmState) -> range:
        """Take a piece that no peer has. Of the last few, others may be fetching each: wait a random time."""
        if len(rare) > _FEW * (state.peers + 1):
            return self._run_from(self._random.choice(rare), state, self._piece_size)
        if self._last_piece_at is None:
            self._last_piece_at = state.now + self._random.uniform(0, _LAST_WAIT)
        if state.now < self._last_piece_at:
            return range(0)
        self._last_piece_at = None
        return self._run_from(self._random.choice(rare), state, self._piece_size)

    def _run_from(self, first: int, state: SwarmState, size: int) -> range:
        """Return up to ``size`` bytes of pieces from ``first`` on that are missing, and that no peer has."""
        count = 1
        limit = max(1, size // self._piece_size)
        while count < limit and first + count < len(state.has):
            following = first + count
            if state.has[following] or (state.peers and self._is_available(state, following)):
                break
            count += 1
        return range(first, first + count)

    def _is_available(self, state: SwarmState, index: int) -> bool:
        return index < len(state.availability) and state.availability[index] > 0

    def _measure(self, state: SwarmState) -> None:
        """Note whether peers have sent enough in the last moments."""
        if state.now - self._measured_at < STALL_SECONDS:
            return
        rate = (state.received - self._received) / (state.now - self._measured_at)
        self._is_stalled = rate < MIN_RATE
        self._measured_at, self._received = state.now, state.received
