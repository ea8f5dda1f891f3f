"""The command ``pumice kill``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


@pytest.mark.parametrize(
    ("signal", "code"), [("HUP", 129), ("SIGTERM", 143), ("9", 137), ("RTMIN+3", 137), ("KILL", 137)]
)
def test_the_signal_ends_the_program(person: Person, signal: str, code: int) -> None:
    pod = pods.start(person, "box:1", "sleep 600")
    pods.run_ok(person, "kill", "--signal", signal, pod)
    if signal == "RTMIN+3":  # process 1 has no handler for it, so the kernel drops it
        assert pods.status(person, pod)["state"] == "running"
        pods.run_ok(person, "kill", pod)
    assert pods.status(person, pod, "--wait")["exit_code"] == code
    pods.run_ok(person, "rm", pod)


def test_any_signal_reaches_a_handler(person: Person) -> None:
    script = "trap 'echo caught; exit 7' CONT; echo ready; while :; do sleep 0.1; done"
    pod = pods.start(person, "box:1", script)
    pods.wait_for_log(person, "ready\n", pod)
    pods.run_ok(person, "kill", "-s", "CONT", pod)
    assert pods.status(person, pod, "--wait")["exit_code"] == 7
    pods.run_ok(person, "rm", pod)


def test_a_pod_that_has_ended_is_an_error(person: Person) -> None:
    pods.start(person, "--name", "gone", "box:1", "true")
    pods.status(person, "gone", "--wait")
    process = person.pumice("kill", "gone")
    assert process.returncode == 10
    assert "the pod gone is not running" in process.stderr
    pods.run_ok(person, "rm", "gone")
