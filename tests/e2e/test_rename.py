"""The command ``pumice rename``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


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


def test_a_running_pod_gets_a_name_that_no_other_has(person: Person) -> None:
    pods.start(person, "--name", "before", "box:1", "sleep 600")
    pods.start(person, "--name", "other", "box:1", "sleep 600")
    process = person.pumice("rename", "before", "other")
    assert process.returncode == 10
    assert process.stderr.startswith("error: the name 'other' is in use by the pod ")
    assert person.pumice("rename", "before", "-x").returncode == 2
    pods.run_ok(person, "rename", "before", "after")
    assert pods.status(person, "after")["state"] == "running"
    pods.run_ok(person, "rm", "--force", "after", "other")
