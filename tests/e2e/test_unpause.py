"""The command ``pumice unpause``; ``test_pause.py`` has what both commands do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_a_pod_that_is_not_paused_is_an_error(person: Person) -> None:
    pod = pods.start(person, "--name", "warm", "box:1", "sleep 600")
    process = person.pumice("unpause", "warm")
    assert (process.returncode, process.stderr) == (
        10,
        "error: the pod warm is not paused (it is running)\n",
    )
    assert pods.run_ok(person, "unpause", "--all") == ""
    pods.run_ok(person, "rm", "--force", pod)


def test_nothing_is_resumed_if_one_pod_does_not_exist(person: Person) -> None:
    process = person.pumice("unpause", "--app", "a", "nosuch")
    assert (process.returncode, "there is no pod 'nosuch'" in process.stderr) == (10, True)
    process = person.pumice("unpause")
    assert (process.returncode, "POD is missing" in process.stderr) == (2, True)
