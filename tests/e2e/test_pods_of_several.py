"""Pods of several apps: ``pumice run IMAGE --- IMAGE``, and the commands on them."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.support import pods, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.people import Person

_NET = ("--network", "none")


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        pods.run_ok(someone, "run", "box:1", "true")  # unpacks the image
        yield someone


def directory_of(person: Person, pod: str) -> Path:
    identifier: str = pods.status(person, pod)["id"]
    return person.home / "store" / "pods" / identifier


def test_apps_share_network_host_name_and_ipc_but_not_files_and_processes(person: Person) -> None:
    look = "for kind in net uts ipc user pid mnt; do readlink /proc/self/ns/$kind; done; hostname"
    process = person.pumice(
        *("run", *_NET, "--hostname", "both", "box:1", f"{look}; touch /mine; {pods.AWAIT_CALL}"),
        *("---", "--app", "other", "--user", "1000", "box:1", "--"),
        f"{look}; ls /mine; id -u; {pods.CALL}",
    )
    lines = process.stdout.splitlines()
    box = [line.removeprefix("box   | ") for line in lines if line.startswith("box")]
    other = [line.removeprefix("other | ") for line in lines if line.startswith("other")]
    assert len(box) == 7, process.stderr
    assert box[:4] == other[:4]
    assert box[4] != other[4]
    assert box[5] != other[5]
    assert (box[6], other[6:]) == ("both", ["both", "1000"])
    assert "other | ls: /mine: No such file or directory" in process.stderr
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


@pytest.mark.parametrize(
    ("codes", "expected"), [((0, 0), 0), ((0, 7), 7), ((5, 0), 5)], ids=["all-good", "second", "first"]
)
def test_the_pod_has_the_exit_code_of_the_app_that_failed(
    person: Person, codes: tuple[int, int], expected: int
) -> None:
    process = person.pumice(
        *("run", *_NET, "box:1", f"exit {codes[0]}", "---", "--app", "b", "box:1", f"exit {codes[1]}")
    )
    assert process.returncode == expected, process.stderr


def test_an_app_that_fails_leaves_the_others_running(person: Person) -> None:
    process = person.pumice("run", *_NET, "box:1", "exit 3", "---", "--app", "b", "box:1", "sleep 1; echo on")
    assert (process.returncode, process.stdout) == (3, "b   | on\n"), process.stderr


def test_an_app_that_cannot_be_executed_stops_the_pod(person: Person) -> None:
    process = person.pumice(
        *("run", "--detach", "--name", "broken", *_NET, "box:1", "sleep 600"),
        *("---", "--app", "b", "--entrypoint", "/nosuch", "box:1"),
    )
    assert process.returncode == 127
    hint = "  hint: list what the image has with 'pumice files REF'\n"
    assert process.stderr == f"error: b: /nosuch: not found in the image\n{hint}"
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_commands_know_the_apps(person: Person) -> None:
    pods.start(
        person,
        *("--name", "shop", *_NET, "box:1", f"echo web; echo oops >&2; {pods.READY}"),
        *("---", "--app", "db", "box:1", "echo data; trap 'exit 6' TERM; while :; do sleep 0.1; done"),
    )
    pods.wait_for_log(person, "ready", "shop")
    state = pods.status(person, "shop")
    assert [(app["name"], app["state"]) for app in state["apps"]] == [("box", "running"), ("db", "running")]
    assert "box:1 (+1)" in pods.run_ok(person, "ps")
    assert set(pods.run_ok(person, "logs", "shop").splitlines()) == {"box | web", "box | ready", "db  | data"}
    assert pods.run_ok(person, "logs", "--app", "db", "shop") == "data\n"
    assert pods.run_ok(person, "exec", "--app", "db", "shop", "cat", "/proc/1/cmdline").startswith("sh\0-c")
    assert {line.split()[0] for line in pods.run_ok(person, "top", "shop").splitlines()} == {
        "APP",
        "box",
        "db",
    }
    refused = person.pumice("exec", "shop", "true")
    assert (refused.returncode, refused.stderr) == (
        10,
        "error: the pod shop has several apps\n  hint: pass --app: box, db\n",
    )
    assert person.pumice("exec", "--app", "nosuch", "shop", "true").returncode == 10
    pods.run_ok(person, "stop", "--app", "db", "shop")
    assert pods.run_ok(person, "wait", "--app", "db", "shop") == "6\n"
    assert pods.status(person, "shop")["state"] == "running"
    pods.run_ok(person, "stop", "shop")
    assert pods.run_ok(person, "wait", "shop") == "6\n"
    assert [app["exit_code"] for app in pods.status(person, "shop")["apps"]] == [5, 6]
    pods.run_ok(person, "rm", "shop")


def test_apps_can_share_process_ids(person: Person) -> None:
    process = person.pumice(
        *("run", "--pid", "pod", *_NET, "box:1", f"sleep 600 & {pods.AWAIT_CALL}"),
        *("---", "--app", "b", "box:1", "--"),
        "until ps | grep -q ' sleep 600$'; do sleep 0.1; done; ps; readlink /proc/1/root; kill -9 1;"
        f" {pods.CALL}; ps >/dev/null && echo on",
    )
    assert process.returncode == 0, process.stderr
    assert "sleep 600" in process.stdout
    assert "--reasons" not in process.stdout
    assert process.stdout.endswith("b   | on\n")


def test_an_app_cannot_have_options_of_the_pod(person: Person) -> None:
    process = person.pumice("run", "box:1", "true", "---", "--publish", "80", "box:1", "true")
    assert (process.returncode, process.stderr) == (
        2,
        "error: --publish belongs to the pod, not to one app\n  hint: write it before the first image\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("box:1", "---", "box:1"), "two apps are called 'box'"),
        (("--app", "A b", "box:1", "---", "box:1"), "'A b' is not a name for an app"),
        (("box:1", "---"), "REF is missing"),
        (("--app", "x", *("box:1", "---") * 70, "--app", "y", "box:1"), "a pod can have 64 apps at most"),
    ],
)
def test_mistakes_are_explained(person: Person, words: tuple[str, ...], message: str) -> None:
    process = person.pumice("run", *words)
    assert process.returncode in (2, 11)
    assert message in process.stderr


STAGES = ("tmp/pod-*", "pods/*/apps/*/log", "pods/*/started", "pods/*/apps/b/started")


@pytest.mark.parametrize("pattern", STAGES)
def test_a_killed_run_leaves_a_state_that_can_be_removed(person: Person, pattern: str) -> None:
    store = person.home / "store"
    marker = pods.lasting_sleep(STAGES.index(pattern))
    words = ("run", "--detach", *_NET, "box:1", marker, "---", "--app", "b", "box:1", marker)
    with person.running_pumice(*words) as running:
        waiting.until(lambda: any(store.glob(pattern)) or running.poll() is not None)
        running.kill()
        running.wait()
    states = pods.run_ok(person, "ps", "--all", "--format", "{{.State}}").split()
    assert set(states) <= {"created", "starting", "running", "exited"}
    pods.remove_all(person)
    pods.run_ok(person, "gc", "--grace-period", "0")
    assert list((store / "tmp").iterdir()) == []
    assert list((store / "pods").iterdir()) == []
    pods.wait_for_end(marker)


def test_a_killed_supervisor_ends_all_apps(person: Person) -> None:
    marker = pods.lasting_sleep(9)
    pod = pods.start(person, *_NET, "box:1", marker, "---", "--app", "b", "box:1", marker)
    directory = directory_of(person, pod)
    os.kill(json.loads((directory / "started").read_text())["supervisor"], signal.SIGKILL)
    pods.run_ok(person, "wait", pod)
    pods.wait_for_end(marker)
    state = pods.status(person, pod)
    assert (state["state"], state["exit_code"], state["error"]) == (
        "exited",
        137,
        "its supervisor was killed",
    )
    assert [app["state"] for app in state["apps"]] == ["exited", "exited"]
    pods.run_ok(person, "rm", pod)


def test_the_supervisor_of_several_apps_is_small(person: Person) -> None:
    app = ("box:1", "sleep 600")
    pod = pods.start(person, *_NET, *app, "---", "--app", "b", *app, "---", "--app", "c", *app)
    supervisor = json.loads((directory_of(person, pod) / "started").read_text())["supervisor"]
    with open(f"/proc/{supervisor}/status") as file:  # noqa: PTH123 - not a file of the disk
        fields = dict(line.split(":", 1) for line in file)
    pods.run_ok(person, "rm", "--force", pod)
    assert int(fields["VmRSS"].split()[0]) <= 12 * 1024
