"""Networks of pods whose ``pumice run`` or keeper was killed: the next command releases them."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_run_networks import PRIVATE, make_images, running
from tests.support import networks, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.networks import Machine
    from tests.support.people import Person

pytestmark = pytest.mark.peer("curl", "nsenter")

KILL = "kill -9 $PPID"
"""Ends ``pumice run``, the parent of its helper."""


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Person]:
    networks.need_private_networks(request.param)
    with people.person(request.param) as someone:
        make_images(someone)
        yield machine.host(someone)


def find_helpers(person: Person) -> list[str]:
    helpers = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_text(errors="replace")
            if "/pasta" in line and str(person.home) in line:
                helpers.append(line)
    return helpers


@pytest.mark.parametrize(
    "script",
    [f'{KILL}; exec {{pasta}} "$@"', f'{{pasta}} "$@"; {KILL}', f'{{pasta}} "$@" & {KILL}'],
    ids=["before the helper", "after the helper", "during the helper"],
)
def test_a_killed_run_leaves_no_helper(person: Person, script: str) -> None:
    if person.name == "root":
        pytest.skip("root uses CNI")
    pasta = peers.need("pasta")
    programs = person.home / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "pasta"
    script = script.format(pasta=pasta)
    program.write_text(f'#!/bin/sh\ncase " $* " in *" --help "*) exec {pasta} "$@";; esac\n{script}\n')
    program.chmod(0o755)
    person.give(programs)
    environment = {**PRIVATE, "PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
    assert person.pumice("run", "box:1", "true", env=environment).returncode == -9
    result = person.pumice("run", "box:1", "exit 7", env=PRIVATE)
    assert result.returncode == 7, result.stderr
    attachments = person.home / "store/networks/attachments"
    for directory in attachments.iterdir():
        with suppress(FileNotFoundError):
            lock = os.open(directory, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)  # its keeper ends
            os.close(lock)
    assert [path for path in attachments.iterdir() if path.is_dir()] == []
    assert find_helpers(person) == []


def test_gc_releases_what_a_killed_keeper_left(person: Person, machine: Machine) -> None:
    networks.wait_for_release(person)
    before = machine.network_state()
    with running(person, "-p", "8160:80", "web:1") as process:
        assert machine.fetch("http://127.0.0.1:8160/") == "hello\n"
        keeper = find_keeper(person)
        os.kill(keeper, signal.SIGKILL)
        assert count_released(person) == 0  # the pod still runs
        assert machine.fetch("http://127.0.0.1:8160/") == "hello\n"
        with pod_end(person):
            process.kill()
    if person.name == "root":
        assert machine.network_state() != before
    assert count_released(person) >= 1
    assert machine.network_state() == before
    folder = person.home / "store/networks/attachments"
    assert [path for path in folder.iterdir() if path.is_dir()] == []
    if person.name == "root":  # the collection of another user does not remove the bridges of root
        assert "pumice" not in machine.run("ip", "-brief", "link")


def count_released(person: Person) -> int:
    """Return how many networks the collection releases, which is a part of ``pumice gc``."""
    collect = "from pumice.runtime.network.collection import collect; from pumice.store.home import Home; "
    collect += f"print(collect(Home({str(person.home / 'store')!r})))"
    command = [*person.prefix, person.python, "-c", collect]
    process = subprocess.run(
        command, env=person.environment(), capture_output=True, text=True, check=True, cwd="/"
    )
    return int(process.stdout)


@contextmanager
def pod_end(person: Person) -> Iterator[None]:
    """Wait at the end of the context until the only pod with a network has ended."""
    (path,) = (person.home / "store/networks/attachments").glob("*/record.json")
    process = os.pidfd_open(json.loads(path.read_bytes())["pid"])
    try:
        yield
        assert select.select([process], [], [], 60)[0]
    finally:
        os.close(process)


def find_keeper(person: Person) -> int:
    """Return the process id of the only keeper of a store."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (process / "cmdline").read_bytes()
            if b"/keeper/__main__.py" in line and str(person.home).encode() in line:
                found.append(int(process.name))
    (pid,) = found
    return pid
