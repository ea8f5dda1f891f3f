"""Password checks during a flood of wrong passwords."""

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


class StuckAccess(Access):
    """Access whose checks of some names wait for ``go``."""

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
    password_checks = PasswordChecks(access, failure_seconds=0.01)
    try:
        yield password_checks
    finally:
        password_checks.close()


def statuses(results: list[Any]) -> list[int]:
    return sorted(response.status for _, response in results if response is not None)


def test_a_flood_of_unknown_names_does_not_lock_a_user_out() -> None:
    access = StuckAccess("nobody")

    async def main() -> None:
        with checks(access) as password_checks:
            flood = [
                asyncio.ensure_future(password_checks.authenticate(header(f"nobody{number}", "x"), HERE))
                for number in range(1000)
            ]
            await asyncio.sleep(0)
            # From the same address, for the first time, and while all checks of the flood are in progress.
            assert await password_checks.authenticate(header(ALICE, ALICE), HERE) == (ALICE, None)
            access.go.set()
            assert statuses(await asyncio.gather(*flood)) == [401] * 1000

    asyncio.run(main())


def test_a_flood_for_one_user_does_not_lock_another_out() -> None:
    access = StuckAccess()

    async def main() -> None:
        with checks(access) as password_checks:
            flood = [
                asyncio.ensure_future(
                    password_checks.authenticate(header(BOB, str(number)), f"192.0.2.{number % 4}:1")
                )
                for number in range(1000)
            ]
            await asyncio.sleep(0)
            assert await password_checks.authenticate(header(ALICE, ALICE), HERE) == (ALICE, None)
            before = access.checked.count(BOB)
            await asyncio.gather(*flood)
            assert before < access.checked.count(BOB)

    asyncio.run(main())


def test_a_flood_from_another_address_does_not_lock_a_user_out() -> None:
    async def main() -> None:
        with checks(Access(policy(), b"secret")) as password_checks:
            flood = [
                asyncio.ensure_future(password_checks.authenticate(header(ALICE, str(number)), THERE))
                for number in range(1000)
            ]
            await asyncio.sleep(0)
            assert await password_checks.authenticate(header(ALICE, ALICE), HERE) == (ALICE, None)
            assert statuses(await asyncio.gather(*flood)) == [401] * MAX_PENDING + [429] * (
                1000 - MAX_PENDING
            )

    asyncio.run(main())


@pytest.mark.parametrize("busy", [False, True])
def test_responses_do_not_reveal_which_users_exist(busy: bool) -> None:
    """Not even if there are so many unknown names that they are no longer checked."""
    access = StuckAccess("nobody") if busy else StuckAccess()

    async def main() -> list[list[int]]:
        with checks(access) as password_checks:
            flood = [
                asyncio.ensure_future(password_checks.authenticate(header(f"nobody{number}", "x"), THERE))
                for number in range(1000 if busy else 0)
            ]
            await asyncio.sleep(0)
            result = []
            for name in (ALICE, "mallory"):
                for password in (
                    "x",
                    "x",
                    "y",
                ):  # the same one twice, because cached results must not differ either
                    tried = [
                        password_checks.authenticate(header(name, f"{password}{i}"), HERE) for i in range(12)
                    ]
                    result.append(statuses(await asyncio.gather(*tried)))
            access.go.set()
            await asyncio.gather(*flood)
            return result

    result = asyncio.run(main())
    assert result[:3] == result[3:]
    assert result[0] == [401] * MAX_PENDING + [429] * (12 - MAX_PENDING)


def test_an_unknown_name_costs_as_much_as_the_most_expensive_password(
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


def test_wrong_passwords_do_not_evict_logins_of_users() -> None:
    access = Access(policy(), b"secret")
    assert access.check_password(header(ALICE, ALICE)) == ALICE
    for number in range(10_000):
        access.reject(header(ALICE, str(number)))
    assert access.look_up(header(ALICE, ALICE)) == (True, ALICE)


def test_connections_with_the_same_header_share_one_check() -> None:
    access = StuckAccess()

    async def main() -> None:
        with checks(access) as password_checks:
            tried = [password_checks.authenticate(header(ALICE, ALICE), HERE) for _ in range(50)]
            assert await asyncio.gather(*tried) == [(ALICE, None)] * 50

    asyncio.run(main())
    assert access.checked == [ALICE]


def test_a_client_that_disconnects_leaves_no_state() -> None:
    access = StuckAccess(ALICE)

    async def main() -> None:
        with checks(access) as password_checks:
            for number in range(MAX_PENDING):
                gone = asyncio.ensure_future(password_checks.authenticate(header(ALICE, str(number)), HERE))
                await asyncio.sleep(0)
                gone.cancel()
            access.go.set()
            while (await password_checks.authenticate(header(ALICE, "z"), HERE))[1].status == 429:  # type: ignore[union-attr]  # a denied login has a response
                await asyncio.sleep(0)
            assert await password_checks.authenticate(header(ALICE, ALICE), HERE) == (ALICE, None)

    asyncio.run(main())


def test_a_malformed_header_is_refused_without_a_check() -> None:
    access = StuckAccess()

    async def main() -> None:
        with checks(access) as password_checks:
            for text in (
                "",
                "Basic",
                "Basic !",
                "Bearer x",
                "Basic " + base64.b64encode(b"no colon").decode(),
            ):
                user, answer = await password_checks.authenticate(text, HERE)
                assert user is None
                assert answer is not None
                assert answer.status == 401

    asyncio.run(main())
    assert access.checked == []
