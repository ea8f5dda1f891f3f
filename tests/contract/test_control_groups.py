"""Limits by control groups, with every stage 1: the program cannot exceed them, and nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.runtime.isolation import control_groups
from pumice.runtime.isolation.model import Limits
from pumice.store.home import Home
from tests.support import images, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person


@pytest.fixture(scope="module")
def root() -> Iterator[Person]:
    if obstacle := control_groups.find_obstacle(Limits(memory=1, cpus=1, pids=1)):
        pytest.skip(obstacle)
    with people.person("root") as someone:
        box(someone)
        yield someone


def box(someone: Person) -> None:
    with Home(someone.home / "store") as home:
        images.make(home, [images.shell()], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
    someone.give(someone.home)


def groups(maker: int) -> set[Path]:
    """Return the groups that the process ``maker`` created; other containers may run on this machine."""
    found = set()
    for hierarchy in control_groups.find_hierarchies():
        found |= set((hierarchy.own_directory / control_groups.PARENT).glob(f"{maker}-*/"))
    return found


def test_a_program_that_uses_too_much_memory_is_killed_and_named(root: Person, stage1: str) -> None:
    hog = HOG
    with root.running_pumice("run", "--stage1", stage1, "--memory", "32m", "box:1", hog) as running:
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGKILL, errors
    assert "out of memory: the program was killed at its limit of 32 MiB" in errors
    assert groups(running.pid) == set()
    process = root.pumice("run", "--stage1", stage1, "--memory", "600m", "box:1", hog)
    assert process.returncode == 0, process.stderr


@pytest.fixture(params=["builtin", "bwrap", "runc", "crun", "fly"])
def any_stage1(request: pytest.FixtureRequest) -> str:
    """Return the name of a stage 1 that shares the kernel, and with it its control groups."""
    if request.param not in ("builtin", "fly"):
        peers.need(request.param)
    return str(request.param)


HOG = "exec dd if=/dev/zero of=/dev/null bs=200000000 count=1"


@pytest.mark.parametrize("word", ["CAP_MKNOD", '"bounding":["CAP_MKNOD"]'])
def test_no_word_of_the_program_takes_it_out_of_its_groups(root: Person, any_stage1: str, word: str) -> None:
    process = root.pumice("run", "--stage1", any_stage1, "--memory", "32m", "box:1", HOG, word)
    assert process.returncode == 128 + signal.SIGKILL, process.stderr


@pytest.mark.parametrize("kind", ["detached", "foreground"])
def test_a_pod_says_that_its_program_ran_out_of_memory(root: Person, any_stage1: str, kind: str) -> None:
    words = ("--stage1", any_stage1, "--name", "hog", *(["--detach"] if kind == "detached" else []))
    process = root.pumice("run", *words, "--memory", "32m", "box:1", HOG)
    root.pumice("wait", "hog")
    sentence = "out of memory: the program was killed at its limit of 32 MiB"
    if kind == "foreground":
        assert process.returncode == 128 + signal.SIGKILL
        assert sentence in process.stderr
    check_reports(root, sentence)


def test_a_pod_of_several_names_the_app_that_ran_out_of_memory(root: Person, stage1: str) -> None:
    apps = ("box:1", "true", "---", "--app", "hog", "--memory", "32m", "box:1", f"sleep 0.1; {HOG}")
    process = root.pumice("run", "--stage1", stage1, "--name", "hog", *apps)
    sentence = "out of memory: the program was killed at its limit of 32 MiB"
    assert f"hog: {sentence}" in process.stderr
    check_reports(root, sentence)


def check_reports(root: Person, sentence: str) -> None:
    """Check that every command says why the pod ``hog`` ended, and remove it."""
    pod = json.loads(root.pumice("inspect", "hog", "--format", "json").stdout)
    (listed,) = json.loads(root.pumice("ps", "--all", "--json").stdout)
    died = root.pumice("events", "--stream=false", "--json", "--filter", "event=died").stdout
    table = root.pumice("ps", "--all").stdout
    root.pumice("rm", "--force", "hog")
    assert [sentence in str(where) for where in (pod, listed["error"], died)] == [True] * 3, (pod, died)
    assert "(out of memory)" in table


def test_a_killed_program_did_not_run_out_of_memory(root: Person, stage1: str) -> None:
    words = ("--stage1", stage1, "--name", "killed", "--detach", "--memory", "600m")
    root.pumice("run", *words, "box:1", "exec sleep 600")
    root.pumice("kill", "--signal", "KILL", "killed")
    root.pumice("wait", "killed")
    (listed,) = json.loads(root.pumice("ps", "--all", "--json").stdout)
    root.pumice("rm", "--force", "killed")
    assert (listed["exit_code"], listed["error"]) == (128 + signal.SIGKILL, None)


def test_a_fork_bomb_stays_within_its_limit(root: Person, stage1: str) -> None:
    script = "i=0; while [ $i -lt 90 ]; do sleep 60 & i=$((i+1)); done"
    process = root.pumice("run", "--stage1", stage1, "--pids-limit", "60", "box:1", script)
    assert "can't fork" in process.stderr
    process = root.pumice("run", "--stage1", stage1, "--pids-limit", "200", "box:1", f"{script}; echo all")
    assert process.stdout == "all\n", process.stderr


def test_limits_are_those_of_the_groups_and_nothing_stays_behind(root: Person, stage1: str) -> None:
    options = ("--memory", "64m", "--cpus", "0.25", "--cpu-shares", "512", "--pids-limit", "99")
    with root.running_pumice(
        "run", "--stage1", stage1, *options, "box:1", "echo ready; exec sleep 600"
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        values = {
            file.name: file.read_text().strip()
            for directory in groups(running.pid)
            for file in directory.iterdir()
            if file.name in EXPECTED
        }
        running.send_signal(signal.SIGTERM)
        if stage1 == "runc":
            running.kill()
        running.communicate(timeout=60)
    assert values in ({name: EXPECTED[name] for name in values}, EXPECTED)
    assert {"pids.max"} < values.keys()
    if stage1 == "runc":  # it ignores SIGTERM as process 1; the next container removes what a kill leaves
        root.pumice("run", "--memory", "64m", "--cpus", "1", "box:1", "true")
    assert groups(running.pid) == set()


EXPECTED = {
    "memory.limit_in_bytes": str(64 << 20),
    "memory.max": str(64 << 20),
    "pids.max": "99",
    "cpu.cfs_quota_us": "25000",
    "cpu.max": "25000 100000",
    "cpu.shares": "512",
    "cpu.weight": "20",
}


def test_the_program_sees_its_group_as_the_root(root: Person, stage1: str) -> None:
    process = root.pumice("run", "--stage1", stage1, "--memory", "64m", "box:1", "cat /proc/self/cgroup")
    lines = [line.split(":", 2) for line in process.stdout.splitlines()]
    assert [path for _, names, path in lines if "memory" in names or "pids" in names] == ["/", "/"]


def test_processes_are_limited_as_in_podman_by_default(root: Person) -> None:
    with root.running_pumice("run", "box:1", "echo ready; exec sleep 600") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        assert [(path / "pids.max").read_text() for path in groups(running.pid)] == ["2048\n"]
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
    assert groups(running.pid) == set()


def test_groups_of_a_killed_process_are_removed_by_the_next(root: Person) -> None:
    with root.running_pumice("run", "--memory", "64m", "box:1", "echo ready; exec sleep 600") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.kill()
        running.communicate(timeout=60)
    root.pumice("run", "--memory", "64m", "box:1", "true")
    assert groups(running.pid) == set()


def test_users_without_control_groups_are_told_before_the_start(stage1: str) -> None:
    with people.person("ordinary") as someone:
        box(someone)
        process = someone.pumice("run", "--stage1", stage1, "--memory", "64m", "box:1", "echo started")
        assert process.stdout == "started\n"
        assert "--memory is ignored: you may not create control groups in " in process.stderr
        process = someone.pumice(
            "run", "--stage1", stage1, "--strict", "--cpus", "1", "box:1", "echo started"
        )
        assert (process.returncode, process.stdout) == (11, "")
        assert "--cpus would be ignored" in process.stderr or "--cpus would be modified" in process.stderr


def test_a_delegated_group_of_version_1_limits_an_ordinary_user(root: Person) -> None:
    """Delegation means that the directory belongs to the user, as a service manager arranges it."""
    del root
    hierarchies = [item for item in control_groups.find_hierarchies() if "pids" in item.controllers]
    if hierarchies[0].version != 1:
        pytest.skip("the pids controller belongs to version 2")
    group = hierarchies[0].own_directory / f"pumice-test-{os.getpid()}"
    group.mkdir(exist_ok=True)
    with people.person("ordinary") as someone:
        box(someone)
        someone.give(group)
        command = someone.command("run", "--pids-limit", "40", "box:1", FORKS)
        enter = f'echo $$ > {group}/cgroup.procs; exec "$@"'
        process = subprocess.run(
            ["sh", "-c", enter, "sh", *command],
            env=someone.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert "can't fork" in process.stderr
        assert "ignored" not in process.stderr
        group.rmdir()


FORKS = "i=0; while [ $i -lt 90 ]; do sleep 60 & i=$((i+1)); done"
