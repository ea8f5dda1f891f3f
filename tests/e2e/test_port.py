"""The command ``pumice port``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_a_pod_with_the_network_of_the_machine_has_no_published_ports(person: Person) -> None:
    pod = pods.start(person, "box:1", "sleep 600")
    assert pods.run_ok(person, "port", pod) == ""
    assert json.loads(pods.run_ok(person, "port", "--json", pod)) == []
    process = person.pumice("port", pod, "8080")
    assert process.returncode == 10
    assert "has no published port 8080/tcp" in process.stderr
    pods.run_ok(person, "rm", "--force", pod)
    assert person.pumice("port", pod).returncode == 10
