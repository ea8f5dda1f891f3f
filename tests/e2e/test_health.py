"""The options of ``pumice run`` for health checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import pods, waiting

if TYPE_CHECKING:
    from tests.support.people import Person


def _wait_for_health(person: Person, pod: str, status: str) -> None:
    waiting.until(lambda: pods.status(person, pod)["health"] == status)


@pytest.mark.parametrize("command", ["[ -e /tmp/fine ]", '["cat", "/tmp/fine"]'])
def test_a_command_of_the_option_decides(person: Person, command: str) -> None:
    options = ("--health-interval", "100ms", "--health-retries", "1", "--health-timeout", "20s")
    pod = pods.start(person, "--health-cmd", command, *options, "box:1", "sleep 600")
    _wait_for_health(person, pod, "unhealthy")
    pods.run_ok(person, "exec", pod, "touch", "/tmp/fine")
    _wait_for_health(person, pod, "healthy")
    pods.run_ok(person, "rm", "--force", pod)


def test_other_options_change_the_check_of_the_image(person: Person) -> None:
    pod = pods.start(person, "--health-start-period", "1h", "sick:1", "sleep 600")
    while (
        not pods.status(person, pod)["health_failures"] and pods.status(person, pod)["health"] == "starting"
    ):
        pods.run_ok(person, "exec", pod, "touch", "/tmp/ok")
    assert pods.status(person, pod)["health"] == "healthy"
    pods.run_ok(person, "rm", "--force", pod)


@pytest.mark.parametrize("options", [["--no-healthcheck"], ["--health-cmd", "none"]])
def test_the_check_of_the_image_is_switched_off(person: Person, options: list[str]) -> None:
    pod = pods.start(person, *options, "sick:1", "sleep 600")
    assert pods.status(person, pod)["health"] is None
    pods.run_ok(person, "rm", "--force", pod)


@pytest.mark.parametrize(
    "options",
    [
        ["--health-interval", "soon"],
        ["--health-retries", "0"],
        ["--health-cmd", "[]"],
        ["--health-cmd", "true", "--no-healthcheck"],
    ],
)
def test_impossible_values_are_refused(person: Person, options: list[str]) -> None:
    process = person.pumice("run", "--detach", *options, "box:1", "true")
    assert process.returncode == 2, process.stderr
