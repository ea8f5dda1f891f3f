"""Fast starts with runc or bubblewrap: signals reach the program, and nothing outlives ``pumice run``."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, peers, people, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

MARKER = pods.lasting_sleep()
SCRIPT = f"trap 'exit 5' TERM; echo ready; {MARKER} & wait"


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        with Home(someone.home / "store") as home:
            images.make(home, [images.shell()], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
        someone.give(someone.home)
        yield someone


@pytest.fixture(params=["runc", "bwrap"])
def command(request: pytest.FixtureRequest, person: Person) -> list[str]:
    """Return a command line that needs a script; its second run has a plan."""
    peers.need(request.param)
    return ["run", "--network", "host", "--stage1", request.param, "box:1"]


def test_root_starts_runc_as_a_child(person: Person, command: list[str]) -> None:
    prepare(person, command)
    with person.running_pumice(*command, SCRIPT) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        (child,) = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        name = Path(f"/proc/{child}/comm").read_text().strip()
        # The ids of bwrap are mapped by a process of ours.
        assert (name == "runc") == (person.name == "root" and command[4] == "runc")
        namespaces = Path(f"/proc/{running.pid}/ns")
        assert (namespaces / "pid_for_children").readlink() == (namespaces / "pid").readlink()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=60) == 5


def prepare(person: Person, command: list[str]) -> None:
    """Make the plan for `SCRIPT`."""
    with person.running_pumice(*command, SCRIPT) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=60)


def test_a_signal_reaches_the_program(person: Person, command: list[str]) -> None:
    for _ in range(2):
        with person.running_pumice(*command, SCRIPT) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60) == 5


def test_nothing_outlives_a_killed_run(person: Person, command: list[str]) -> None:
    prepare(person, command)
    with person.running_pumice(*command, SCRIPT) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        poll = select.poll()
        descriptors = [os.pidfd_open(process) for process in pods.processes_with(MARKER)]
        running.kill()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
            assert poll.poll(60_000) != []
            poll.unregister(descriptor)
            os.close(descriptor)
    assert len(descriptors) >= 2  # the command itself, and its program
