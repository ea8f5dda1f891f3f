"""The command ``pumice status``."""

from __future__ import annotations

import json
import os
import select
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import pods, waiting

if TYPE_CHECKING:
    from tests.support.people import Person


def test_the_status_of_a_pod_tells_how_it_ended(person: Person) -> None:
    pods.start(person, "--name", "ending", "box:1", "exit 3")
    state = pods.status(person, "ending", "--wait")
    assert (state["state"], state["exit_code"], state["error"]) == ("exited", 3, None)
    assert state["created"] < state["started"] < state["ended"]
    text = pods.run_ok(person, "status", "ending")
    assert "status:      Exited (3)" in text
    pods.run_ok(person, "rm", "ending")


def test_a_killed_supervisor_ends_the_program_and_is_noticed(person: Person) -> None:
    pod = pods.start(person, "box:1", "sleep 1234567")
    directory = person.home / "store" / "pods" / pod
    program = pods.status(person, pod)["pid"]
    descriptor = os.pidfd_open(program)
    os.kill(json.loads((directory / "started").read_text())["supervisor"], signal.SIGKILL)
    select.select([descriptor], [], [], 60)
    os.close(descriptor)
    state = pods.status(person, pod, "--wait")
    assert (state["exit_code"], state["error"]) == (137, "its supervisor was killed")
    pods.run_ok(person, "rm", pod)


def test_a_restart_of_the_machine_is_noticed(person: Person) -> None:
    pod = pods.start(person, "box:1", "exit 0")
    pods.status(person, pod, "--wait")
    directory = person.home / "store" / "pods" / pod
    (directory / "ended").unlink()
    text = (directory / "started").read_text()
    boot = json.loads(text)["boot"]
    # The process has a number that is in use now by another one.
    text = text.replace(boot, "another").replace(str(json.loads(text)["supervisor"]), str(os.getpid()))
    (directory / "started").write_text(text)
    state = pods.status(person, pod)
    assert (state["state"], state["error"]) == ("exited", "the machine was restarted")
    pods.run_ok(person, "rm", "--force", pod)


def test_an_unknown_pod_is_reported(person: Person) -> None:
    process = person.pumice("status", "nosuch")
    assert process.returncode == 10
    assert process.stderr.startswith("error: there is no pod 'nosuch'\n")


def wait_for_health(person: Person, pod: str, health: str) -> dict[str, Any]:
    def find_state() -> dict[str, Any]:
        state = pods.status(person, pod)
        assert state["health"] == health or state["state"] == "running"
        return state if state["health"] == health else {}

    return waiting.until(find_state)


@pytest.mark.parametrize("options", [[], ["--init"]])
def test_the_health_check_of_the_image_is_run(person: Person, options: list[str]) -> None:
    pod = pods.start(person, *options, "sick:1", pods.READY)
    assert pods.status(person, pod)["health"] in ("starting", "unhealthy")
    state = wait_for_health(person, pod, "unhealthy")
    assert state["health_failures"] >= 2
    assert "No such file or directory" in state["health_output"]
    assert "(unhealthy)" in pods.run_ok(person, "ps")
    pods.run_ok(person, "exec", pod, "sh", "-c", "echo fine > /tmp/ok")
    assert wait_for_health(person, pod, "healthy")["health_output"] == "fine"
    pods.run_ok(person, "rm", "--force", pod)
