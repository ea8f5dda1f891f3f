"""The stage 1 ``fly``: a root of its own, and all else shared with the host."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from tests.support.people import Person


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        with Home(someone.home / "store") as home:
            config = oci.RunConfig(entrypoint=("sh", "-c"))
            images.make(home, [images.shell() | {"srv/page": "hello\n"}], name="box:1", config=config)
        someone.give(someone.home)
        yield someone


def fly(person: Person, *arguments: str) -> CompletedProcess[str]:
    return person.pumice("run", "--progress", "none", "--stage1", "fly", *arguments)


def test_program_sees_the_processes_and_names_of_the_host(person: Person) -> None:
    process = fly(person, "box:1", f"cat /srv/page; [ -d /proc/{os.getpid()} ] && echo seen; uname -n")
    expected = f"hello\nseen\n{os.uname().nodename}\n"
    assert (process.stdout, process.returncode) == (expected, 0), process.stderr


def test_program_has_the_root_of_the_image_and_changes_are_discarded(person: Person) -> None:
    mounts = mounts_of(person)
    process = fly(
        person, "box:1", "echo changed > /srv/page; cat /srv/page; ls /home 2>/dev/null || echo none"
    )
    assert process.stdout == "changed\nnone\n", process.stderr
    assert fly(person, "box:1", "cat /srv/page").stdout == "hello\n"
    assert mounts_of(person) == mounts


def mounts_of(person: Person) -> list[str]:
    """Return the mounts in a person's store; other tests may mount something at the same time."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(person.home) in line]


def test_program_cannot_gain_privileges(person: Person) -> None:
    script = "mount -t tmpfs none /tmp 2>/dev/null || echo refused; grep -c 'NoNewPrivs.*1' /proc/self/status"
    assert fly(person, "box:1", script).stdout == "refused\n1\n"
    script = "while read a b; do [ $a != CapEff: ] || echo $b; done < /proc/self/status"
    assert fly(person, "--user", "33", "box:1", script).stdout == f"{0:016x}\n"


def test_signals_and_exit_codes_pass_through(person: Person) -> None:
    assert fly(person, "box:1", "exit 7").returncode == 7
    with person.running_pumice(
        "run", "--stage1", "fly", "box:1", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
        assert running.returncode == 9


def test_what_fly_cannot_do_is_an_error(person: Person) -> None:
    process = fly(person, "--network", "none", "box:1", "true")
    assert process.returncode == 11
    assert "fly cannot give a program a network of its own" in process.stderr
    process = fly(person, "--init", "box:1", "true")
    assert process.returncode == 2
    assert "fly does not support --init" in process.stderr
