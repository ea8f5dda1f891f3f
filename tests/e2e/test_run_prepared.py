"""The command ``pumice run-prepared``."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_a_prepared_pod_is_started_once_with_its_options(person: Person) -> None:
    (person.home / "here").mkdir(exist_ok=True)
    script = "echo $A $0; pwd; echo out > /here/f; exit 4"
    options = ("-e", "A=b", "--volume", "./here:/here", "-w", "/tmp", "--label", "x=y")
    person.give(person.home / "here")
    pod = pods.prepare(person, "--name", "later", *options, "box:1", script, "c")
    status = pods.status(person, "later")
    assert (status["id"], status["state"], status["labels"]["x"]) == (pod, "prepared", "y")
    assert status["command"] == ["sh", "-c", script, "c"]
    assert pods.run_ok(person, "ps", "-aq", "--filter", "status=prepared").strip() == pod[:12]
    process = subprocess.run(
        person.command("run-prepared", "later"),
        env=person.environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stdout, process.returncode) == ("b c\n/tmp\n", 4)
    assert (person.home / "here" / "f").read_text() == "out\n"
    status = pods.status(person, pod)
    assert (status["state"], status["exit_code"], status["name"]) == ("exited", 4, "later")
    process = person.pumice("run-prepared", "later")
    assert process.returncode == 10
    assert "the pod later is not prepared (it is exited)" in process.stderr
    pods.run_ok(person, "rm", "later")


def test_it_runs_in_the_background_with_the_image_of_its_preparation(person: Person) -> None:
    pod = pods.prepare(person, "box:1", "sleep 600")
    digest = pods.status(person, pod)["digest"]
    pods.run_ok(person, "tag", "box:1", "kept:1")
    pods.run_ok(person, "tag", "sick:1", "box:1")
    assert pods.run_ok(person, "run-prepared", "--detach", pod).strip() == pod
    status = pods.status(person, pod)
    assert (status["state"], status["digest"]) == ("running", digest)
    pods.run_ok(person, "rm", "--force", pod)
    pods.run_ok(person, "tag", "kept:1", "box:1")


def test_of_two_commands_that_start_a_pod_one_wins(person: Person) -> None:
    pod = pods.prepare(person, "box:1", "echo started >> /log/f; sleep 600")
    pods.run_ok(person, "rm", pod)
    pod = pods.prepare(person, "--volume", "log:/log", "box:1", "echo started >> /log/f; sleep 600")
    commands = [
        subprocess.Popen(
            person.command("run-prepared", "--detach", pod),
            env=person.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    codes = [(process.communicate()[1], process.returncode)[1] for process in commands]
    assert sorted(codes) == [0, 10, 10]
    pods.run_ok(person, "rm", "--force", pod)
    assert pods.run_ok(person, "run", "--volume", "log:/log", "box:1", "cat /log/f") == "started\n"
    pods.run_ok(person, "volume", "rm", "log")
