"""The command ``pumice top``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import pods, waiting

if TYPE_CHECKING:
    from tests.support.people import Person


@pytest.mark.parametrize("options", [[], ["--init"]])
def test_the_processes_of_the_pod_are_listed(person: Person, options: list[str]) -> None:
    pod = pods.start(person, *options, "--user", "web", "box:1", "sleep 600 & sleep 601 & wait")

    def find_all() -> list[Any]:
        processes: list[Any] = json.loads(pods.run_ok(person, "top", "--json", pod))
        return processes if len(processes) >= 3 + len(options) else []

    processes = waiting.until(find_all)
    commands = [" ".join(process["command"]) for process in processes]
    assert commands[len(options) :] == ["sh -c sleep 600 & sleep 601 & wait", "sleep 600", "sleep 601"]
    program = processes[len(options)]
    assert (program["pid"], program["uid"]) == (1 + len(options), 33)
    assert Path(f"/proc/{program['host_pid']}").exists()
    assert "sleep 601" in pods.run_ok(person, "top", pod)
    pods.run_ok(person, "rm", "--force", pod)
