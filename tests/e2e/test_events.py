"""The command ``pumice events``."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_events_are_seen_when_they_happen(person: Person) -> None:
    with person.running_pumice("events", "--json", "--since", "1h") as process:
        assert process.stdout is not None
        pod = pods.start(person, "--name", "one", "--label", "a=b", "box:1", "exit 3")
        lines = [json.loads(process.stdout.readline()) for _ in range(3)]
        pods.run_ok(person, "rm", "one")
        lines.append(json.loads(process.stdout.readline()))
    assert [line["status"] for line in lines] == ["create", "start", "died", "remove"]
    assert {(line["id"], line["name"], line["image"]) for line in lines} == {(pod, "one", "box:1")}
    assert [line["exit_code"] for line in lines] == [None, None, 3, None]
    assert lines[0]["labels"]["a"] == "b"


def test_past_events_are_selected_by_time_and_filters(person: Person) -> None:
    for name, label in (("two", "x"), ("three", "y")):
        pods.start(person, "--name", name, "--label", f"kind={label}", "box:1", "true")
        pods.status(person, name, "--wait")

    def past(*options: str) -> list[str]:
        template = ("--format", "{{.Name}} {{.Status}}")
        return pods.run_ok(person, "events", "--stream=false", *template, *options).splitlines()

    events = ["create", "start", "died"]
    assert past() == [f"{name} {event}" for name in ("two", "three") for event in events]
    assert past("--filter", "pod=three") == [f"three {event}" for event in events]
    assert past("--filter", "event=died", "--filter", "event=start", "--filter", "label=kind=x") == [
        "two start",
        "two died",
    ]
    assert past("--until", "2h") == []
    assert len(past("--since", "2h")) == 6
    assert "pod died" in pods.run_ok(person, "events", "--until", "0s", "--filter", "image=box")
    pods.run_ok(person, "rm", "two", "three")


def test_health_and_the_end_of_a_killed_supervisor_are_seen(person: Person) -> None:
    filters = ("--filter", "event=health_status", "--filter", "event=died")
    with person.running_pumice("events", "--json", "--since", "1h", *filters) as process:
        assert process.stdout is not None
        pod = pods.start(person, "sick:1", "sleep 600")
        health = json.loads(process.stdout.readline())
        assert (health["status"], health["health"]) == ("health_status", "unhealthy")
        started = json.loads((person.home / "store/pods" / pod / "started").read_text())
        os.kill(started["supervisor"], signal.SIGKILL)
        died = json.loads(process.stdout.readline())
        assert (died["status"], died["exit_code"]) == ("died", 137)
