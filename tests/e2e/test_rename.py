"""The command ``pumice rename``; `test_apps_of_pods` has more about names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        yield someone


def test_an_ended_pod_is_found_by_its_new_name_and_its_id(person: Person) -> None:
    pod_id = pods.start(person, "--name", "first", "box:1", "exit 3")
    assert pods.run_ok(person, "wait", "first") == "3\n"
    pods.run_ok(person, "rename", "first", "renamed")
    assert person.pumice("status", "first").returncode == 10
    assert pods.run_ok(person, "wait", "renamed") == pods.run_ok(person, "wait", pod_id) == "3\n"
    pods.run_ok(person, "rm", "renamed")


def test_an_unknown_pod_cannot_be_renamed(person: Person) -> None:
    process = person.pumice("rename", "nothing", "other")
    assert process.returncode == 10
    assert "nothing" in process.stderr
