"""The command ``pumice stats``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_processor_time_memory_and_processes_are_measured(person: Person) -> None:
    script = "sleep 600 & dd if=/dev/zero of=/dev/null bs=1 count=300000 2>/dev/null; echo ready; sleep 600"
    pod = pods.start(person, "--name", "busy", "box:1", script)
    pods.wait_for_log(person, "ready", pod)
    (stats,) = json.loads(pods.run_ok(person, "stats", "--no-stream", "--json"))
    assert (stats["id"], stats["name"]) == (pod, "busy")
    assert stats["cpu_seconds"] > 0
    assert stats["average_cpu_percent"] == stats["cpu_percent"]
    assert 10_000 < stats["memory"] < 100_000_000 < stats["memory_limit"]
    assert stats["pids"] >= 2
    assert stats["network_received"] is None
    table = pods.run_ok(person, "stats", "--no-stream", "busy")
    assert table.splitlines()[1].split()[:2] == [pod[:12], "busy"]
    pods.run_ok(person, "rm", "--force", pod)


def test_a_limit_is_that_of_the_pod() -> None:
    with pods.person_with_images("root") as person:
        process = person.pumice("run", "-d", "--memory", "64m", "box:1", "sleep 600")
        if process.returncode:
            pytest.skip("there are no control groups")
        (stats,) = json.loads(pods.run_ok(person, "stats", "--no-stream", "--json"))
        assert stats["memory_limit"] == 64 << 20
        assert 0 < stats["memory"] < 64 << 20


def test_a_stream_ends_with_the_pods_that_were_named(person: Person) -> None:
    pod = pods.start(person, "box:1", "sleep 600")
    with person.running_pumice("stats", "--interval", "1", "--format", "{{.Name}}", pod) as process:
        assert process.stdout is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        assert first == second != ""
        pods.run_ok(person, "rm", "--force", pod)
        assert process.wait(30) == 0


def test_a_pod_that_does_not_run_is_refused(person: Person) -> None:
    pod = pods.start(person, "box:1", "true")
    pods.status(person, pod, "--wait")
    process = person.pumice("stats", "--no-stream", pod)
    assert process.returncode == 10
    assert "is not running" in process.stderr
    assert "POD ID" in pods.run_ok(person, "stats", "--no-stream")
