"""The command ``pumice prepare``; see ``test_run_prepared`` for what follows."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_mistakes_are_found_when_it_is_prepared(person: Person) -> None:
    for arguments, code, reason in (
        (("--user", "nobody-here", "box:1"), 10, "the image has no user 'nobody-here'"),
        (("--volume", "./nowhere:/x", "box:1"), 2, "cannot mount './nowhere'"),
        (("--entrypoint", "", "box:1"), 10, "the image has no entrypoint"),
    ):
        process = person.pumice("prepare", *arguments)
        assert process.returncode == code
        assert reason in process.stderr
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_a_collection_removes_what_is_not_started(person: Person) -> None:
    pod = pods.prepare(person, "--name", "old", "box:1", "true")
    assert person.pumice("run", "--name", "old", "box:1", "true").returncode == 10
    pods.run_ok(person, "gc")
    assert pods.status(person, pod)["state"] == "prepared"
    long_ago = time.time() - 25 * 3600
    os.utime(person.home / "store" / "pods" / pod, (long_ago, long_ago))
    pods.run_ok(person, "gc")
    assert json.loads(pods.run_ok(person, "ps", "--all", "--json")) == []
