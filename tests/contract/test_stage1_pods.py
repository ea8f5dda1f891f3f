"""Pods of several apps with each stage 1 that can run them, as root and as an ordinary user."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import networks, peers, pods, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

STAGES = ("builtin", "bwrap", "runc", "crun", "fly")
_ENGINES = ("runc", "crun")


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        pods.run_ok(someone, "run", "box:1", "true")  # unpacks the image
        yield someone


@pytest.fixture(params=STAGES)
def stage1(request: pytest.FixtureRequest) -> str:
    if request.param not in ("builtin", "fly"):
        peers.need(request.param)
    return str(request.param)


@pytest.fixture(params=[stage for stage in STAGES if stage != "fly"])
def isolating_stage1(request: pytest.FixtureRequest) -> str:
    """Return a stage 1 that gives a pod its own namespaces."""
    if request.param != "builtin":
        peers.need(request.param)
    return str(request.param)


def options(stage1: str) -> tuple[str, ...]:
    """Return the options for a stage 1, without a network where it can do without."""
    return ("--stage1", stage1, *(() if stage1 == "fly" else ("--network", "none")))


def lines_of(output: str, app: str) -> list[str]:
    return [line.partition(" | ")[2] for line in output.splitlines() if line.split(" ")[0] == app]


def test_apps_share_network_host_name_and_ipc_but_not_files_and_processes(
    person: Person, isolating_stage1: str
) -> None:
    look = "for kind in net uts ipc pid mnt; do readlink /proc/self/ns/$kind; done; hostname"
    process = person.pumice(
        *(
            "run",
            *options(isolating_stage1),
            "--hostname",
            "both",
            "box:1",
            f"{look}; touch /mine; {pods.AWAIT_CALL}",
        ),
        *("---", "--app", "other", "--user", "1000", "box:1", "--", f"{look}; ls /mine; id -u; {pods.CALL}"),
    )
    box, other = lines_of(process.stdout, "box"), lines_of(process.stdout, "other")
    assert len(box) == 6, process.stderr
    assert box[:3] == other[:3]
    own = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("net", "uts", "ipc")]
    assert not set(own) & set(box)
    assert not set(box[3:5]) & set(other[3:5])
    assert (box[5], other[5:]) == ("both", ["both", "1000"])
    assert "other | ls: /mine: No such file or directory" in process.stderr


def test_apps_reach_each_other_through_the_loopback_address(person: Person, isolating_stage1: str) -> None:
    process = person.pumice(
        *("run", *options(isolating_stage1), "box:1", "echo hello | nc -l -p 8000"),
        *("---", "--app", "b", "box:1", pods.CALL),
    )
    assert lines_of(process.stdout, "b") == ["hello"], process.stderr
    assert process.returncode == 0


def test_apps_of_fly_have_their_own_files_and_share_all_else_with_the_host(person: Person) -> None:
    script = "readlink /proc/self/ns/pid; ls /mine"
    process = person.pumice(
        *("run", *options("fly"), "box:1", "touch /mine; sleep 1"),
        *("---", "--app", "b", "box:1", script),
    )
    assert lines_of(process.stdout, "b") == [str(Path("/proc/self/ns/pid").readlink())]
    assert "b   | ls: /mine: No such file or directory" in process.stderr


def test_the_pod_has_the_exit_code_of_the_app_that_failed_and_others_go_on(
    person: Person, stage1: str
) -> None:
    process = person.pumice(
        *("run", *options(stage1), "box:1", "exit 3", "---", "--app", "b", "box:1", "sleep 1; echo on")
    )
    assert (process.returncode, process.stdout) == (3, "b   | on\n"), process.stderr


def test_a_program_that_is_missing_stops_the_pod(person: Person, stage1: str) -> None:
    process = person.pumice(
        *("run", "--detach", *options(stage1), "box:1", "sleep 600"),
        *("---", "--app", "b", "--entrypoint", "/nosuch", "box:1"),
    )
    assert process.returncode == 127
    assert "/nosuch: not found in the image\n" in process.stderr
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_an_app_starts_after_another_has_succeeded(person: Person, stage1: str) -> None:
    (person.home / "compose.yaml").write_text(
        "name: order\n"
        "services:\n"
        "  first: {image: 'box:1', command: ['sleep 1; echo one']}\n"
        "  second:\n"
        "    image: box:1\n"
        "    command: [echo two]\n"
        "    depends_on: {first: {condition: service_completed_successfully}}\n"
    )
    process = person.pumice("play", *options(stage1), "compose.yaml")
    assert process.stdout == "first  | one\nsecond | two\n", process.stderr


def test_commands_find_the_apps(person: Person, stage1: str) -> None:
    pod = pods.start(
        person,
        *(*options(stage1), "box:1", f"echo a > /mine; echo web; {pods.READY}"),
        *("---", "--app", "db", "box:1", "echo b > /mine; trap 'exit 6' TERM; while :; do sleep 0.1; done"),
    )
    pods.wait_for_log(person, "ready", pod)
    assert pods.run_ok(person, "logs", "--app", "box", pod) == "web\nready\n"
    shown = pods.run_ok(person, "exec", "--app", "db", pod, "sh", "-c", "until cat /mine; do sleep 0.1; done")
    assert shown == "b\n"
    pods.run_ok(person, "cp", "--app", "box", f"{pod}:/mine", "mine")
    assert (person.home / "mine").read_text() == "a\n"
    listed = [line.split() for line in pods.run_ok(person, "top", pod).splitlines()[1:]]
    assert {line[0] for line in listed} == {"box", "db"}
    assert not any("supervisor" in word for line in listed for word in line)
    assert len(pods.run_ok(person, "stats", "--no-stream", pod).splitlines()) == 3
    pods.run_ok(person, "stop", "--app", "db", pod)
    assert pods.run_ok(person, "wait", "--app", "db", pod) == "6\n"
    assert pods.status(person, pod)["state"] == "running"
    pods.run_ok(person, "stop", pod)
    assert [app["exit_code"] for app in pods.status(person, pod)["apps"]] == [5, 6]
    pods.run_ok(person, "rm", pod)


@pytest.mark.parametrize("victim", ["supervisor", "sandbox"])
def test_no_process_is_left_when_a_process_above_it_is_killed(
    person: Person, isolating_stage1: str, victim: str
) -> None:
    marker = pods.lasting_sleep(10 * STAGES.index(isolating_stage1) + len(victim) % 10)
    app = ("box:1", f"{marker} & {marker}; wait")
    pod = pods.start(person, *options(isolating_stage1), *app, "---", "--app", "b", *app)
    waiting.until(lambda: len(pods.programs_with(marker)) >= 4)
    directory = person.home / "store" / "pods" / pods.status(person, pod)["id"]
    records = {"supervisor": directory / "started", "sandbox": directory / "apps" / "b" / "started"}
    os.kill(pods.read_json(records[victim])[victim], signal.SIGKILL)
    waiting.until(lambda: len(pods.programs_with(marker)) <= {"supervisor": 0, "sandbox": 2}[victim])
    pods.run_ok(person, "rm", "--force", pod)
    pods.wait_for_end(marker)


@pytest.mark.parametrize("stage1", ["builtin", "bwrap"])
def test_apps_can_share_process_ids_but_not_see_files_of_the_host(person: Person, stage1: str) -> None:
    peek = f"for process in [0-9]*; do ls /proc/$process/root{person.home}/store; done 2>/dev/null"
    process = person.pumice(
        *("run", *options(stage1), "--pid", "pod", "box:1", f"sleep 600 & {pods.AWAIT_CALL}; echo end"),
        *("---", "--app", "b", "box:1", "--"),
        f"cd /proc; until ps | grep -q ' sleep 600$'; do sleep 0.1; done; ps; {peek}; kill -9 1;"
        f" {pods.CALL}; echo on",
    )
    assert process.returncode == 0, process.stderr
    shown = lines_of(process.stdout, "b")
    assert any(line.endswith(" sleep 600") for line in shown)
    assert shown[-1] == "on"
    assert "trees" not in process.stdout


@pytest.mark.parametrize("stage1", ["builtin", "bwrap"])
def test_no_process_of_ours_that_apps_can_see_has_rights_it_does_not_need(
    person: Person, stage1: str
) -> None:
    if stage1 != "builtin":
        peers.need(stage1)
    # Processes of ours give up their rights when they have started a program, so wait for that.
    few = r"CapPrm:.0*\(80000\|80020\|20\)$"
    look = f"ours=$(grep -l 'Name:.python' /proc/[0-9]*/status); more=$(grep -L '{few}' $ours)"
    wait = f'i=0; while [ $i -lt 200 ]; do {look}; [ "$more" ] || break; sleep 0.1; i=$((i + 1)); done'
    process = person.pumice(
        *("run", *options(stage1), "--pid", "pod", "box:1", pods.AWAIT_CALL),
        *("---", "--app", "b", "box:1", "--"),
        f'{pods.CALL}; {wait}; echo "more: $more"; '
        "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/1/status; ls /proc/1/root/",
    )
    shown = [line.split("\t") for line in lines_of(process.stdout, "b")]
    assert shown == [["more: "], ["CapEff:", f"{1 << 19:016x}"], ["NoNewPrivs:", "1"], ["Seccomp:", "2"]]
    assert "ls: /proc/1/root/: Permission denied" in process.stderr


def test_what_an_app_leaves_behind_ends_with_it_among_shared_process_ids(person: Person) -> None:
    peers.need("bwrap")
    wait = "i=0; while ps | grep -q '[s]leep 600' && [ $((i=i+1)) -lt 300 ]; do sleep 0.1; done"
    process = person.pumice(
        *("run", *options("bwrap"), "--pid", "pod", "box:1", "sleep 600 & echo gone"),
        *("---", "--app", "b", "box:1", f"sleep 2; {wait}; ps"),
    )
    assert process.returncode == 0, process.stderr
    assert "sleep 600" not in process.stdout


@pytest.mark.parametrize("stage1", _ENGINES)
def test_shared_process_ids_are_reported_where_an_engine_would_be_seen(person: Person, stage1: str) -> None:
    peers.need(stage1)
    words = ("box:1", "echo $$", "---", "--app", "b", "box:1", "echo $$")
    process = person.pumice("run", *options(stage1), "--pid", "pod", *words)
    assert sorted(process.stdout.splitlines()) == ["b   | 1", "box | 1"]
    assert f"--pid pod is ignored: the apps could see the processes of {stage1} itself" in process.stderr
    process = person.pumice("run", *options(stage1), "--strict", "--pid", "pod", *words)
    assert process.returncode == 11
    assert "--pid pod would be ignored" in process.stderr


@pytest.mark.parametrize(
    ("stage1", "user", "reason"),
    [
        ("bwrap", "7", ""),
        ("builtin", "7", ""),
        ("runc", "0", ""),
        ("runc", "7", "as a user other than root"),
        ("builtin", "0", "as different users"),
        ("bwrap", "0", "as different users"),
    ],
)
def test_users_without_subordinate_ids_can_have_one_user_id(stage1: str, user: str, reason: str) -> None:
    if stage1 != "builtin":
        peers.need(stage1)
    with pods.person_with_images("stranger") as stranger:
        first = "7" if reason == "as different users" else user
        process = stranger.pumice(
            *("run", *options(stage1), "--user", first, "box:1", "id -u"),
            *("---", "--app", "b", "--user", user, "box:1", "id -u"),
        )
    if not reason:
        assert sorted(process.stdout.splitlines()) == [f"b   | {user}", f"box | {user}"], process.stderr
        return
    assert process.returncode == 11
    assert f"cannot run the apps of a pod {reason} without subordinate ids" in process.stderr


def test_limits_of_an_app_are_its_own(person: Person, stage1: str) -> None:
    if person.name != "root":
        pytest.skip("there are no control groups for this user")
    greedy = "x=$(head -c 60000000 /dev/zero | tr '\\0' x); echo done"
    process = person.pumice(
        *("run", *options(stage1), "--memory", "30m", "box:1", greedy),
        *("---", "--app", "b", "box:1", "sleep 2; echo on"),
    )
    assert (process.returncode, process.stdout) == (137, "b   | on\n"), process.stderr


def test_apps_share_a_private_network(person: Person, isolating_stage1: str) -> None:
    if person.name != "root":
        pytest.skip("this user may not be able to have a private network")
    with networks.machine() as machine:
        process = machine.host(person).pumice(
            *("run", "--stage1", isolating_stage1, "--network", "private"),
            *("box:1", "echo hello | nc -l -p 80"),
            *("---", "--app", "b", "box:1", "until nc 127.0.0.1 80 </dev/null; do sleep 0.1; done"),
            *("---", "--app", "c", "box:1", "grep -c eth0 /proc/net/dev"),
        )
    assert sorted(process.stdout.splitlines()) == ["b   | hello", "c   | 1"], process.stderr


def test_limits_that_crun_leaves_are_reported(person: Person) -> None:
    if person.name != "root":
        pytest.skip("there are no control groups for this user")
    peers.need("crun")
    words = ("run", *options("crun"), "--cap-add", "MKNOD", "--memory", "30m", "box:1", "echo started")
    process = person.pumice(*words)
    assert process.stdout == "started\n"
    assert "--memory is ignored: crun leaves the control group" in process.stderr
    assert person.pumice(words[0], "--strict", *words[1:]).returncode == 11
