"""The stage 1 ``fly``: a root of its own, and all else shared with the host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, people, pods

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
    mounts = person.list_mounts()
    process = fly(
        person, "box:1", "echo changed > /srv/page; cat /srv/page; ls /home 2>/dev/null || echo none"
    )
    assert process.stdout == "changed\nnone\n", process.stderr
    assert fly(person, "box:1", "cat /srv/page").stdout == "hello\n"
    assert person.list_mounts() == mounts


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


SLEEPS = [pods.lasting_sleep(number) for number in range(3)]


def find_sleeps() -> list[int]:
    return [process_id for command in SLEEPS for process_id in pods.processes_with(command)]


@pytest.fixture
def pod(person: Person) -> Iterator[str]:
    """Return the name of a pod with a process of its own, and of one that has lost its parent."""
    first, second, third = SLEEPS
    script = f"({first} & {second} & exec true); {third} & {pods.READY}"
    process = fly(person, "--detach", "--name", "agent", "--pids-limit", "0", "box:1", script)
    assert process.returncode == 0, process.stderr
    yield "agent"
    for command in SLEEPS:  # fly leaves them to the machine
        pods.send_signal(command, signal.SIGKILL)
    person.pumice("rm", "--force", "agent")


def test_commands_know_the_processes_of_a_pod_from_all_others(person: Person, pod: str) -> None:
    listed = json.loads(pods.run_ok(person, "top", "--json", pod))
    assert [process["command"][:2] for process in listed][:1] == [["sh", "-c"]]
    assert SLEEPS[2].split() in [process["command"] for process in listed]
    assert all(process["command"][0] in ("sh", "sleep") for process in listed)
    (stats,) = json.loads(pods.run_ok(person, "stats", "--no-stream", "--json", pod))
    assert 1 < stats["pids"] < 10
    script = "cat /srv/page; grep -c 'NoNewPrivs.*1' /proc/self/status; kill -0 $PPID 2>/dev/null || echo no"
    assert pods.run_ok(person, "exec", pod, "sh", "-c", script).startswith("hello\n1\n")
    assert person.pumice("exec", pod, "sh", "-c", "exit 3").returncode == 3


def test_pausing_freezes_the_processes_of_a_pod_and_no_others(person: Person, pod: str) -> None:
    own = Path("/proc/self/cgroup").read_text()
    other = subprocess.Popen(["sleep", "600"])
    try:
        process = person.pumice("pause", pod)
        if process.returncode:
            assert person.name != "root"
            assert process.stderr.startswith(
                "error: cannot pause the pod agent: you may not create or change"
            )
            return
        states = {pid: read_state(pid) for pid in find_sleeps()}
        groups = [Path(f"/proc/{pid}/cgroup").read_text() for pid in (os.getpid(), other.pid)]
        table = pods.run_ok(person, "ps")
        pods.run_ok(person, "unpause", pod)
        assert groups == [own, own]
        assert "Paused" in table
        assert len(set(groups) | {Path(f"/proc/{pid}/cgroup").read_text() for pid in states}) == 1
        assert set(states.values()) == {True}
    finally:
        other.kill()
        other.wait()
    pods.run_ok(person, "exec", pod, "cat", "/srv/page")


def read_state(pid: int) -> bool:
    """Return whether a process is in a group that is frozen."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return any("freezer" in line and "/pumice/" in line for line in lines) or any(
        line.startswith("0::") and "/pumice/" in line for line in lines
    )


def test_apps_that_share_process_ids_are_told_apart(person: Person) -> None:
    words = ("--detach", "--name", "two", "--pid", "pod", "box:1", pods.READY)
    process = fly(person, *words, "---", "--app", "b", "box:1", pods.READY)
    assert process.returncode == 0, process.stderr
    try:
        assert pods.run_ok(person, "exec", "--app", "b", "two", "cat", "/srv/page") == "hello\n"
        listed = json.loads(pods.run_ok(person, "top", "--json", "two"))
        assert {process["app"] for process in listed} == {"box", "b"}
    finally:
        person.pumice("rm", "--force", "two")


def test_what_fly_cannot_do_is_an_error(person: Person) -> None:
    process = fly(person, "--network", "none", "box:1", "true")
    assert process.returncode == 11
    assert "fly cannot give a program a network of its own" in process.stderr
    process = fly(person, "--init", "box:1", "true")
    assert process.returncode == 2
    assert "fly does not support --init" in process.stderr
