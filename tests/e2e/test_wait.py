"""The command ``pumice wait``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_the_exit_codes_are_printed(person: Person) -> None:
    first = pods.start(person, "box:1", "sleep 0.2; exit 3")
    second = pods.start(person, "box:1", "exit 4")
    assert pods.run_ok(person, "wait", first, second) == "3\n4\n"
    pods.run_ok(person, "rm", first, second)
