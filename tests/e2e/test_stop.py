"""The command ``pumice stop``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_the_program_gets_the_stop_signal_and_can_end(person: Person) -> None:
    pod = pods.start(person, "--name", "tidy", "box:1", pods.READY)
    pods.wait_for_log(person, "ready\n", pod)
    assert pods.run_ok(person, "stop", "tidy") == "tidy\n"
    assert pods.status(person, pod)["exit_code"] == 5
    assert pods.run_ok(person, "stop", "tidy") == "tidy\n"  # as in podman
    pods.run_ok(person, "rm", "tidy")


def test_a_program_that_ignores_the_signal_is_killed(person: Person) -> None:
    pod = pods.start(person, "box:1", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    pods.wait_for_log(person, "ready\n", pod)
    pods.run_ok(person, "stop", "--time", "0", pod)
    assert pods.status(person, pod)["exit_code"] == 137
    pods.run_ok(person, "rm", pod)


def test_nothing_is_stopped_if_one_pod_does_not_exist(person: Person) -> None:
    pod = pods.start(person, "box:1", "sleep 600")
    assert person.pumice("stop", pod, "nosuch").returncode == 10
    assert pods.status(person, pod)["state"] == "running"
    pods.run_ok(person, "rm", "--force", pod)
