"""The policy in simulated swarms: how much the origin sends, and that every download ends."""

from __future__ import annotations

import random

import pytest

from pumice.swarm.origin_policy import MIN_RATE, STALL_SECONDS, OriginPolicy, SwarmState

PIECE = 256 << 10
STEP = 0.05


class Swarm:
    """Downloaders with a share of the rate of an origin each; peers send what others have, next in line."""

    def __init__(self, downloaders: int, pieces: int, *, peer_pieces: int = 4, seed: int = 0) -> None:
        self.choose = random.Random(seed)
        self.has = [[False] * pieces for _ in range(downloaders)]
        self.received = [0] * downloaders
        self.policies = [OriginPolicy(PIECE, 0.0, random.Random(seed * 10 + n)) for n in range(downloaders)]
        self.fetching: list[list[int]] = [[] for _ in range(downloaders)]
        self.peer_pieces = peer_pieces
        self.sent = 0
        self.now = 0.0

    def run(self) -> float:
        """Run until all have everything; return the copies that the origin sent."""
        while not all(all(has) for has in self.has):
            self.step()
            assert self.now < 3600
        return self.sent / len(self.has[0])

    def step(self) -> None:
        self.now += STEP
        for number in range(len(self.has)):
            if not self.fetching[number]:
                self.fetching[number] = list(self.policies[number].choose_run(self.state(number)))
            if self.fetching[number] and self.choose.random() < 0.5:
                self.sent += 1
                self.has[number][self.fetching[number].pop(0)] = True
                if len(self.has) > 1:
                    self.fetching[number] = []
            self.receive(number)

    def state(self, number: int) -> SwarmState:
        others = [has for other, has in enumerate(self.has) if other != number]
        return SwarmState(
            now=self.now,
            has=self.has[number],
            availability=[sum(has[index] for has in others) for index in range(len(self.has[0]))],
            peers=len(others),
            received=self.received[number],
            is_alone=not others,
        )

    def receive(self, number: int) -> None:
        offered = [
            index
            for index, has in enumerate(self.has[number])
            if not has and any(other[index] for at, other in enumerate(self.has) if at != number)
        ]
        for index in self.choose.sample(offered, min(self.peer_pieces, len(offered))):
            self.has[number][index] = True
            self.received[number] += PIECE


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("downloaders", [2, 4, 8])
def test_the_origin_sends_little_more_than_one_copy(downloaders: int, seed: int) -> None:
    assert Swarm(downloaders, 400, seed=seed).run() < 1.25


def test_alone_everything_comes_from_the_origin_once() -> None:
    assert Swarm(1, 400).run() == 1


def test_the_origin_is_not_used_while_a_seed_sends() -> None:
    swarm = Swarm(2, 200)
    swarm.has[0] = [True] * 200
    assert swarm.run() == 0


def test_peers_that_send_nothing_are_not_waited_for() -> None:
    swarm = Swarm(2, 50, peer_pieces=0)
    swarm.has[0] = [True] * 50
    assert swarm.run() == 1
    assert swarm.now < STALL_SECONDS * 2 + 50 * STEP * 6


def state(now: float, received: int) -> SwarmState:
    return SwarmState(
        now=now, has=[False] * 10, availability=[1] * 10, peers=1, received=received, is_alone=False
    )


def test_slow_peers_do_not_hold_up_a_download_and_fast_ones_are_trusted_again() -> None:
    policy = OriginPolicy(PIECE, 0.0, random.Random(0))
    received = 0
    for tick in range(1, 100):
        received += int(MIN_RATE * STEP / 4)
        choice = policy.choose_run(state(tick * STEP, received))
    assert choice
    for tick in range(100, 200):
        received += int(MIN_RATE * STEP * 4)
        choice = policy.choose_run(state(tick * STEP, received))
    assert not choice


def test_nothing_is_fetched_when_nothing_is_missing() -> None:
    policy = OriginPolicy(PIECE, 0.0, random.Random(0))
    complete = SwarmState(now=9, has=[True], availability=[0], peers=0, received=0, is_alone=True)
    assert not policy.choose_run(complete)
