"""The commands ``pumice pause`` and ``pumice unpause``."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.errors import PodError
from pumice.runtime.isolation import control_groups
from pumice.runtime.pods import freezer, pausing, pod_store
from pumice.runtime.pods.supervisor import frozen
from pumice.store.home import Home
from tests.support import pods, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

COUNT = "trap 'echo noticed' CONT; while :; do echo tick; sleep 0.02; done"
"""A script that shows when it runs, and when it notices that it was stopped."""
NO_GROUPS = ("--pids-limit", "0")


@pytest.fixture(scope="module")
def root() -> Iterator[Person]:
    if os.geteuid() != 0:
        pytest.skip("root is needed")
    if not any(can_freeze(hierarchy) for hierarchy in control_groups.find_hierarchies()):
        pytest.skip("this machine has no control group that can be frozen")
    with pods.person_with_images("root") as someone:
        yield someone


def can_freeze(hierarchy: control_groups.Hierarchy) -> bool:
    return hierarchy.version == 2 or "freezer" in hierarchy.controllers


def find_frozen_groups(person: Person) -> list[Path]:
    """Return the groups whose processes are frozen; other tests may freeze processes at the same time."""
    records = (person.home / "store" / "pods").rglob(frozen.NAME)
    return [Path(frozen.read_record(str(record))[0]) for record in records]


def are_gone(groups: list[Path]) -> bool:
    return groups != [] and not any(group.exists() for group in groups)


def wait_for_more(person: Person, pod: str, app: tuple[str, ...] = ()) -> None:
    """Wait until the program writes again."""
    before = pods.run_ok(person, "logs", *app, pod)
    waiting.until(lambda: pods.run_ok(person, "logs", *app, pod) != before)


def states_of(person: Person, pod: str) -> set[str]:
    """Return the letters with which the kernel describes the processes of a pod."""
    return set(pods.run_ok(person, "top", "--format", "{{.State}}", pod).split())


@pytest.mark.peer("bwrap", "runc")
@pytest.mark.parametrize("options", [(), NO_GROUPS], ids=["limits", "no limits"])
@pytest.mark.parametrize("stage1", ["builtin", "bwrap", "runc"])
def test_a_paused_program_does_nothing_and_does_not_notice(
    root: Person, stage1: str, options: tuple[str, ...]
) -> None:
    pod = pods.start(root, "--stage1", stage1, *options, "--name", "box", "box:1", COUNT)
    wait_for_more(root, pod)
    assert pods.run_ok(root, "pause", "box") == "box\n"
    groups = find_frozen_groups(root)
    assert states_of(root, pod) - {"Z"} <= {"D", "S"}  # version 1 shows D for frozen processes, version 2 S
    assert pods.status(root, pod)["state"] == "paused"
    assert pods.status(root, pod)["status"] == "Paused"
    assert "Paused" in pods.run_ok(root, "ps")
    assert pods.run_ok(root, "ps", "--filter", "status=paused", "--quiet").strip() == pod[:12]
    before = pods.run_ok(root, "logs", pod)
    pods.run_ok(root, "stats", "--no-stream", pod)
    assert pods.run_ok(root, "logs", pod) == before
    assert pods.run_ok(root, "unpause", "box") == "box\n"
    wait_for_more(root, pod)
    assert "noticed" not in pods.run_ok(root, "logs", pod)
    assert pods.status(root, pod)["state"] == "running"
    pods.run_ok(root, "rm", "--force", pod)
    assert are_gone(groups)


def test_what_a_paused_pod_refuses(root: Person) -> None:
    pod = pods.start(root, "--name", "ice", "box:1", COUNT)
    assert root.pumice("unpause", "ice").stderr == "error: the pod ice is not paused (it is running)\n"
    pods.run_ok(root, "pause", "ice")
    hint = "  hint: resume it with 'pumice unpause ice'"
    for command, message in (
        (("pause", "ice"), f"error: the pod ice is already paused\n{hint}\n"),
        (("stop", "ice"), f"error: the pod ice is paused\n{hint}\n"),
        (("rm", "ice"), f"error: the pod ice is paused\n{hint}, or pass --force\n"),
        (("exec", "ice", "true"), f"error: the pod ice is paused\n{hint}\n"),
    ):
        process = root.pumice(*command)
        assert (process.returncode, process.stderr) == (10, message)
    assert pods.status(root, pod)["state"] == "paused"
    pods.run_ok(root, "rm", "--force", "ice")


def test_a_paused_pod_is_killed_and_gets_other_signals_when_it_is_resumed(root: Person) -> None:
    pod = pods.start(root, "--name", "cold", "box:1", pods.READY)
    pods.wait_for_log(root, "ready\n", pod)
    pods.run_ok(root, "pause", "cold")
    groups = find_frozen_groups(root)
    pods.run_ok(root, "kill", "--signal", "TERM", "cold")
    assert pods.status(root, pod)["state"] == "paused"
    pods.run_ok(root, "unpause", "cold")
    assert pods.status(root, pod, "--wait")["exit_code"] == 5
    pods.run_ok(root, "rm", "cold")
    pod = pods.start(root, "--name", "cold", "box:1", COUNT)
    pods.run_ok(root, "pause", "cold")
    groups += find_frozen_groups(root)
    pods.run_ok(root, "kill", "cold")
    assert pods.status(root, pod, "--wait")["exit_code"] == 137
    pods.run_ok(root, "rm", "cold")
    assert are_gone(groups)


@pytest.mark.parametrize("options", [(), NO_GROUPS], ids=["limits", "no limits"])
def test_a_program_of_exec_is_paused_too(root: Person, options: tuple[str, ...]) -> None:
    pod = pods.start(root, *options, "box:1", "sleep 600")
    with root.running_pumice("exec", pod, "sh", "-c", COUNT) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "tick\n"
        pods.run_ok(root, "pause", pod)
        program = pods.status(root, pod)["pid"]
        inside = [pid for pid in pods.processes_with(COUNT) if namespace_of(pid) == namespace_of(program)]
        assert inside
        group, _ = frozen.read_record(str(root.home / "store" / "pods" / pod / frozen.NAME))
        assert {program, *inside} <= freezer_members(group)
        pods.run_ok(root, "rm", "--force", pod)
        running.communicate(timeout=60)


def freezer_members(group: str) -> set[int]:
    return set(map(int, Path(group, "cgroup.procs").read_text().split()))


def namespace_of(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/pid").stat().st_ino


@pytest.mark.parametrize("options", [(), ("--pid", "pod"), NO_GROUPS], ids=["usual", "pids", "no limits"])
def test_one_app_is_paused_while_the_others_run(root: Person, options: tuple[str, ...]) -> None:
    pod = pods.start(
        root,
        *("--network", "none", *options, "--name", "pair", "--app", "a", "box:1", COUNT),
        *("---", *(NO_GROUPS if options == NO_GROUPS else ()), "--app", "b", "box:1", COUNT),
    )
    wait_for_more(root, pod, ("--app", "b"))
    assert pods.run_ok(root, "pause", "--app", "a", "pair") == "a\n"
    wait_for_more(root, pod, ("--app", "b"))
    status = pods.status(root, pod)
    assert (status["state"], [app["state"] for app in status["apps"]]) == ("running", ["paused", "running"])
    pods.run_ok(root, "pause", "pair")
    groups = find_frozen_groups(root)
    status = pods.status(root, pod)
    assert (status["state"], [app["state"] for app in status["apps"]]) == ("paused", ["paused", "paused"])
    assert pods.run_ok(root, "unpause", "--all") == "pair\n"
    wait_for_more(root, pod, ("--app", "a"))
    assert pods.run_ok(root, "pause", "--all", "--app", "b") == "b\n"
    assert [app["state"] for app in pods.status(root, pod)["apps"]] == ["running", "paused"]
    pods.run_ok(root, "rm", "--force", "pair")
    assert are_gone(groups)


def test_all_or_some_pods_are_named(root: Person) -> None:
    process = root.pumice("pause", "--all", "nosuch")
    assert (process.returncode, process.stderr) == (2, "error: --all excludes POD\n")
    assert pods.run_ok(root, "pause", "--all") == ""


@pytest.mark.parametrize("option", [(), ("--rm",)])
def test_a_pod_that_has_ended_since_it_was_listed_is_told_from_one_that_cannot_be_paused(
    root: Person, option: tuple[str, ...]
) -> None:
    """'pause --all' passes over it."""
    pod = pods.start(root, *option, "box:1", pods.READY)
    with Home(root.home / "store") as home:
        (state,) = [state for state in pod_store.list_pods(home) if state.pod.id == pod]
        pods.run_ok(root, "stop", pod)
        with pytest.raises(pausing.EndedPodError):
            pausing.pause_pod(state)


def test_health_checks_wait(root: Person) -> None:
    pod = pods.start(root, "--name", "ward", "sick:1", "echo > /tmp/ok; exec sleep 600")
    waiting.until(lambda: pods.status(root, pod)["health"] == "healthy")
    directory = root.home / "store" / "pods" / pod
    pods.run_ok(root, "pause", "ward")
    paused = ("ps", "--filter", "status=paused", "--format", "{{.Name}}")
    before = 0

    def is_still() -> bool:
        nonlocal before
        before = (directory / "health").stat().st_mtime_ns
        assert pods.run_ok(root, *paused) == "ward\n"
        return (directory / "health").stat().st_mtime_ns == before

    waiting.until(is_still)  # a check may have ended just before, and is recorded first
    assert all(is_still() for _ in range(5))
    assert pods.status(root, pod)["health"] == "healthy"
    pods.run_ok(root, "unpause", "ward")
    waiting.until(lambda: (directory / "health").stat().st_mtime_ns != before)
    pods.run_ok(root, "rm", "--force", "ward")


@pytest.mark.parametrize("command", ["rm", "gc"])
def test_what_a_killed_supervisor_leaves_is_ended(root: Person, command: str) -> None:
    pod = pods.start(root, "--name", "victim", "box:1", COUNT)
    pods.run_ok(root, "pause", "victim")
    groups = find_frozen_groups(root)
    pid = pods.status(root, pod)["pid"]
    end = os.pidfd_open(pid)
    os.kill(pods.find_supervisor(pid), signal.SIGKILL)
    waiting.until(lambda: pods.status(root, pod)["state"] == "exited")
    pods.run_ok(root, command, *(["victim"] if command == "rm" else []))
    assert select.select([end], [], [], 60)[0]
    os.close(end)
    root.pumice("rm", "victim")
    pods.run_ok(root, "run", "--rm", "box:1", "true")
    root.pumice("gc")
    assert are_gone(groups)


def test_the_record_of_a_killed_command_is_no_pause(root: Person) -> None:
    pod = pods.start(root, "--name", "torn", "box:1", COUNT)
    record = root.home / "store" / "pods" / pod / frozen.NAME
    for text in ("", "/sys/fs/cgroup/nosuch\n\n", "/etc\n/etc\n", "\n\n\n", "x" * 70000):
        record.write_text(text)
        assert pods.status(root, pod)["state"] == "running"
    pods.run_ok(root, "pause", "torn")
    pods.run_ok(root, "unpause", "torn")
    wait_for_more(root, pod)
    pods.run_ok(root, "rm", "--force", "torn")


def test_a_user_without_a_control_group_is_told_what_to_do() -> None:
    with pods.person_with_images("ordinary") as someone:
        pod = pods.start(someone, "--name", "warm", "box:1", COUNT)
        process = someone.pumice("pause", "warm")
        assert process.returncode == 10
        first, second = process.stderr.splitlines()
        assert first == ("error: cannot pause the pod warm: you may not create or change control groups here")
        assert "Delegate=yes" in second
        assert pods.status(someone, pod)["state"] == "running"
        wait_for_more(someone, pod)


@pytest.mark.parametrize("version", [1, 2])
def test_processes_are_frozen_with_both_versions(
    root: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: int
) -> None:
    del root
    real = control_groups.find_hierarchies

    def find(*arguments: Path) -> list[control_groups.Hierarchy]:
        return [each for each in real(*arguments) if each.version == version]

    if not any(map(can_freeze, find())):
        pytest.skip(f"this machine has no control groups of version {version}")
    monkeypatch.setattr(control_groups, "find_hierarchies", find)
    process = subprocess.Popen(["sleep", "600"])
    record = tmp_path / "paused"
    freezer.freeze(record, process.pid, lambda: {process.pid})
    group, _ = frozen.read_record(str(record))
    assert frozen.is_paused(str(record))
    assert Path(group, "cgroup.procs").read_text() == f"{process.pid}\n"
    freezer.thaw(record)
    assert not record.exists()
    assert not Path(group).exists()
    process.terminate()
    assert process.wait(60) == -signal.SIGTERM


def test_collections_leave_the_group_until_the_processes_are_in_it(root: Person, tmp_path: Path) -> None:
    del root

    def list_processes() -> set[int]:
        control_groups.remove_all_abandoned()
        return {process.pid}

    with subprocess.Popen(["sleep", "600"]) as process:
        record = tmp_path / "paused"
        freezer.freeze(record, process.pid, list_processes)
        control_groups.remove_all_abandoned()
        assert frozen.is_paused(str(record))
        freezer.thaw(record)
        process.kill()


def test_processes_go_on_if_the_group_that_they_came_from_is_gone(root: Person, tmp_path: Path) -> None:
    del root
    with subprocess.Popen(["sleep", "600"]) as process:
        record = tmp_path / "paused"
        freezer.freeze(record, process.pid, lambda: {process.pid})
        group, origin = frozen.read_record(str(record))
        record.write_text(f"{group}\n{origin}/gone\n")
        freezer.thaw(record)
        assert not record.exists()
        assert not frozen.is_frozen(group)
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    control_groups.remove_all_abandoned()
    assert not Path(group).exists()


def test_a_pod_that_is_removed_while_it_is_killed_is_no_error(root: Person) -> None:
    pod = pods.start(root, "--name", "short", "box:1", COUNT)
    state = pod_store.read_pod(root.home / "store" / "pods" / pod)
    assert state is not None
    plan = state.directory / pod_store.PLAN
    plan.rename(state.directory / "moved")
    with pytest.raises(PodError, match="the plan of the pod short is damaged or gone"):
        pausing.unpause_pod(state)
    (state.directory / "moved").rename(plan)
    pods.run_ok(root, "rm", "--force", "short")
    pausing.unpause_pod(state)


def test_a_group_of_its_own_is_used(root: Person, tmp_path: Path) -> None:
    del root
    hierarchy = next(each for each in control_groups.find_hierarchies() if can_freeze(each))
    group = control_groups.find_parent(hierarchy) / "own-1"
    group.mkdir(parents=True)
    process = subprocess.Popen(["sleep", "600"])
    (group / "cgroup.procs").write_text(str(process.pid))
    record = tmp_path / "paused"
    freezer.freeze(record, process.pid, lambda: {process.pid})
    assert frozen.read_record(str(record)) == (str(group), "")
    freezer.thaw(record)
    process.kill()
    process.wait()
    group.rmdir()


def test_processes_that_start_others_all_the_time_are_caught(root: Person, tmp_path: Path) -> None:
    del root
    script = "while :; do sh -c 'sleep 0.01 & sleep 0.01 & wait' & wait; done"
    process = subprocess.Popen(["sh", "-c", script], start_new_session=True)

    def members() -> set[int]:
        return set(session_of(process.pid))

    record = tmp_path / "paused"
    freezer.freeze(record, process.pid, members)
    group, _ = frozen.read_record(str(record))
    frozen_ids = freezer_members(group)
    assert members() == frozen_ids
    assert members() == frozen_ids
    os.killpg(process.pid, signal.SIGKILL)
    freezer.thaw(record)
    process.wait()


def session_of(leader: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == leader and fields[0] not in "ZX":
                yield int(entry.name)
