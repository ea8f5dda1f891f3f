"""The command ``pumice ps``, and starting pods in the background."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_a_pod_runs_in_the_background_and_is_listed_until_it_is_removed(person: Person) -> None:
    pod = pods.start(person, "--name", "listed", "--label", "app=x", "box:1", "sleep 600")
    assert pods.run_ok(person, "ps", "--quiet", "--no-trunc").split() == [pod]
    assert pods.run_ok(person, "ps", "--format", "{{.Name}} {{.State}}", "--filter", "label=app=x") == (
        "listed running\n"
    )
    assert pods.run_ok(person, "ps", "--quiet", "--filter", "label=app=y") == ""
    pods.run_ok(person, "kill", "listed")
    assert pods.status(person, pod, "--wait")["exit_code"] == 137
    assert pods.run_ok(person, "ps", "--quiet") == ""
    assert pod[:12] in pods.run_ok(person, "ps", "--all")
    pods.run_ok(person, "rm", "listed")
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_a_name_is_used_once(person: Person) -> None:
    pods.start(person, "--name", "twin", "box:1", "true")
    process = person.pumice("run", "--detach", "--name", "twin", "box:1", "true")
    assert process.returncode == 10
    assert "the name 'twin' is in use" in process.stderr
    pods.run_ok(person, "rm", "--force", "twin")


@pytest.mark.parametrize("mode", [["--detach"], ["--name", "broken"]])
def test_a_program_that_does_not_start_leaves_no_pod(person: Person, mode: list[str]) -> None:
    process = person.pumice("run", *mode, "--entrypoint", "/nope", "box:1")
    assert process.returncode == 127
    assert "/nope: not found in the image" in process.stderr
    assert process.stdout == ""
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_rm_removes_the_pod_at_its_end(person: Person) -> None:
    pod = pods.start(person, "--rm", "box:1", "exit 3")
    pods_directory = person.home / "store" / "pods"
    person.pumice("wait", pod)
    assert not (pods_directory / pod).exists()


def test_a_named_pod_in_the_foreground_has_streams_a_log_and_the_exit_code(person: Person) -> None:
    process = person.pumice(
        "run", "--name", "front", "box:1", "read x; echo $x; echo b >&2; exit 3", input="a\n"
    )
    assert (process.stdout, process.stderr.splitlines()[-1], process.returncode) == ("a\n", "b", 3)
    assert pods.status(person, "front")["exit_code"] == 3
    logs = person.pumice("logs", "front")
    assert (logs.stdout, logs.stderr) == ("a\n", "b\n")
    pods.run_ok(person, "rm", "front")


def test_the_supervisor_is_small(person: Person) -> None:
    pod = pods.start(person, "box:1", "sleep 600")
    directory = person.home / "store" / "pods" / pod
    supervisor = json.loads((directory / "started").read_text())["supervisor"]
    status = Path(f"/proc/{supervisor}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 12_000
    pods.run_ok(person, "rm", "--force", pod)


def test_a_cidfile_has_the_id(person: Person) -> None:
    pod = pods.start(person, "--rm", "--cidfile", "cid", "box:1", "true")
    assert (person.home / "cid").read_text() == f"{pod}\n"
    process = person.pumice("run", "--detach", "--cidfile", "cid", "box:1", "true")
    assert process.returncode == 2
    assert "cannot write the id of the pod: file exists" in process.stderr
