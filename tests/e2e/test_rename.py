"""The command ``pumice rename``."""

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


def test_a_pod_gets_another_name(person: Person) -> None:
    pods.start(person, "--name", "before", "box:1", "sleep 600")
    pods.start(person, "--name", "other", "box:1", "sleep 600")
    process = person.pumice("rename", "before", "other")
    assert process.returncode == 10
    assert process.stderr.startswith("error: the name 'other' is in use by the pod ")
    assert person.pumice("rename", "before", "-x").returncode == 2
    pods.run_ok(person, "rename", "before", "after")
    assert person.pumice("status", "before").returncode == 10
    assert pods.status(person, "after")["state"] == "running"
    pods.run_ok(person, "rm", "--force", "after", "other")
