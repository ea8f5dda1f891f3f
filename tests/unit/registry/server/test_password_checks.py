"""Password checks while somebody floods the registry with wrong ones."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import bcrypt
import pytest

from pumice.registry.server.access import Access, Policy
from pumice.registry.server.password_checks import MAX_PENDING, PasswordChecks

pytestmark = pytest.mark.concurrency

ALICE, BOB = "alice", "bob"
HERE, THERE = "192.0.2.1:1000", "192.0.2.2:1000"


def header(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def policy(cost: int = 4) -> Policy:
    stored = {name: bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)) for name in (ALICE, BOB)}
    return Policy("read", {**stored, "ci": bcrypt.hashpw(b"ci", bcrypt.gensalt(cost))})


class Stuck(Access):
    """Access whose checks of some names do not end before ``go``."""

    def __init__(self, *names: str) -> None:
        super().__init__(policy(), b"secret")
        self.names = names
        self.go = Event()
        self.checked: list[str] = []

    def check_password(self, authorization: str) -> str | None:
        name = self.user_name(authorization) or ""
        self.checked.append(name)
        if name in self.names or ("nobody" in self.names and not self.has_user(name)):
            assert self.go.wait(60)
        return super().check_password(authorization)


@contextmanager
def checks(access: Access) -> Iterator[PasswordChecks]:
    made = PasswordChecks(access, failure_seconds=0.01)
    try:
        yield made
    finally:
        made.close()


def statuses(found: list[Any]) -> list[int]:
    return sorted(answer.status for _, answer in found if answer is not None)


def test_a_flood_of_unknown_names_does_not_keep_a_user_out() -> None:
    access = Stuck("nobody")

    async def main() -> None:
        with checks(access) as one:
            flood = [
                asyncio.ensure_future(one.authenticate(header(f"nobody{number}", "x"), HERE))
                for number in range(1000)
            ]
            await asyncio.sleep(0)
            # From the same address, for the first time, and while none of the flood has ended.
            assert await one.authenticate(header(ALICE, ALICE), HERE) == (ALICE, None)
            access.go.set()
            assert statuses(await asyncio.gather(*flood)) == [401] * 1000

    asyncio.run(main())


def test_a_flood_for_one_user_does_not_keep_another_out() -> None:
    access = Stuck()

    async def main() -> None:
        with checks(access) as one:
            flood = [
                asyncio.ensure_future(one.authenticate(header(BOB, str(number)), f"192.0.2.{number % 4}:1"))
                for number in range(1000)
            ]
            await asyncio.sleep(0)
            assert await one.authenticate(header(ALICE, ALICE), HERE) == (ALICE, None)
            before = access.checked.count(BOB)
            await asyncio.gather(*flood)
            assert before < access.checked.count(BOB)

    asyncio.run(main())


def test_a_flood_for_a_user_from_elsewhere_does_not_keep_that_user_out() -> None:
    async def main() -> None:
        with checks(Access(policy(), b"secret")) as one:
            flood = [
                asyncio.ensure_future(one.authenticate(header(ALICE, str(number)), THERE))
                for number in range(1000)
            ]
            await asyncio.sleep(0)
            assert await one.authenticate(header(ALICE, ALICE), HERE) == (ALICE, None)
            assert statuses(await asyncio.gather(*flood)) == [401] * MAX_PENDING + [429] * (
                1000 - MAX_PENDING
            )

    asyncio.run(main())


@pytest.mark.parametrize("busy", [False, True])
def test_answers_do_not_tell_which_users_exist(busy: bool) -> None:
    """Not even where so many unknown names are tried that theirs are not checked any more."""
    access = Stuck("nobody") if busy else Stuck()

    async def main() -> list[list[int]]:
        with checks(access) as one:
            flood = [
                asyncio.ensure_future(one.authenticate(header(f"nobody{number}", "x"), THERE))
                for number in range(1000 if busy else 0)
            ]
            await asyncio.sleep(0)
            found = []
            for name in (ALICE, "mallory"):
                for password in ("x", "x", "y"):  # twice the same: what is remembered must be alike, too
                    tried = [one.authenticate(header(name, f"{password}{i}"), HERE) for i in range(12)]
                    found.append(statuses(await asyncio.gather(*tried)))
            access.go.set()
            await asyncio.gather(*flood)
            return found

    found = asyncio.run(main())
    assert found[:3] == found[3:]
    assert found[0] == [401] * MAX_PENDING + [429] * (12 - MAX_PENDING)


def test_checking_an_unknown_name_costs_what_the_dearest_password_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = Access(policy(cost=6), b"secret")
    costs: list[bytes] = []

    def checkpw(password: bytes, stored: bytes) -> bool:
        costs.append(stored[:7])
        return False

    monkeypatch.setattr(bcrypt, "checkpw", checkpw)
    for name in ("ci", "mallory", "", "\x00"):
        assert access.check_password(header(name, "x")) is None
    assert costs == [b"$2b$06$"] * 4


def test_wrong_passwords_do_not_make_users_log_in_again() -> None:
    access = Access(policy(), b"secret")
    assert access.check_password(header(ALICE, ALICE)) == ALICE
    for number in range(10_000):
        access.reject(header(ALICE, str(number)))
    assert access.look_up(header(ALICE, ALICE)) == (True, ALICE)


def test_connections_with_one_header_are_one_check() -> None:
    access = Stuck()

    async def main() -> None:
        with checks(access) as one:
            tried = [one.authenticate(header(ALICE, ALICE), HERE) for _ in range(50)]
            assert await asyncio.gather(*tried) == [(ALICE, None)] * 50

    asyncio.run(main())
    assert access.checked == [ALICE]


def test_a_client_that_goes_away_leaves_nothing_behind() -> None:
    access = Stuck(ALICE)

    async def main() -> None:
        with checks(access) as one:
            for number in range(MAX_PENDING):
                gone = asyncio.ensure_future(one.authenticate(header(ALICE, str(number)), HERE))
                await asyncio.sleep(0)
                gone.cancel()
            access.go.set()
            while (await one.authenticate(header(ALICE, "z"), HERE))[1].status == 429:  # type: ignore[union-attr]
                await asyncio.sleep(0)
            assert await one.authenticate(header(ALICE, ALICE), HERE) == (ALICE, None)

    asyncio.run(main())


def test_a_malformed_header_is_refused_without_a_check() -> None:
    access = Stuck()

    async def main() -> None:
        with checks(access) as one:
            for text in (
                "",
                "Basic",
                "Basic !",
                "Bearer x",
                "Basic " + base64.b64encode(b"no colon").decode(),
            ):
                user, answer = await one.authenticate(text, HERE)
                assert user is None
                assert answer is not None
                assert answer.status == 401

    asyncio.run(main())
    assert access.checked == []
