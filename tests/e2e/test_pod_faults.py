"""Pods whose commands are killed, race, or run out of space leave what the next command understands."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.image.model import Image
from pumice.runtime.pods import collection, pod_store, removal
from pumice.runtime.process import Overrides
from pumice.runtime.run import run_image
from pumice.runtime.run_options import AppOptions, ImageOptions, PodOptions
from pumice.store.home import Home
from tests.support import peers, pods, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.people import Person

_MANY = 100


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        pods.run_ok(someone, "run", "box:1", "true")  # unpacks the image
        yield someone


def wait_for(condition: Callable[[], object], running: subprocess.Popen[str]) -> None:
    waiting.until(lambda: condition() or running.poll() is not None)


STAGES = ("writing", "created", "started", "reported")


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_leaves_a_state_that_can_be_removed(person: Person, stage: str) -> None:
    store = person.home / "store"
    marker = pods.lasting_sleep(STAGES.index(stage))
    conditions = {
        "writing": lambda: any((store / "tmp").glob("pod-*")),
        "created": lambda: any((store / "pods").glob("*/pod.json")),
        "started": lambda: any((store / "pods").glob("*/log")),
        "reported": lambda: any((store / "pods").glob("*/started")),
    }
    for _ in range(3):
        with person.running_pumice("run", "--detach", "box:1", marker) as running:
            wait_for(conditions[stage], running)
            running.kill()
            running.wait()
        states = pods.run_ok(person, "ps", "--all", "--format", "{{.State}}").split()
        assert set(states) <= {"created", "starting", "running", "exited"}
        pods.remove_all(person)
        assert pods.run_ok(person, "ps", "--all", "--quiet") == ""
    pods.run_ok(person, "gc", "--grace-period", "0")
    assert list((store / "tmp").iterdir()) == []
    assert list((store / "pods").iterdir()) == []
    pods.wait_for_end(marker)


def test_one_of_two_commands_gets_the_name(person: Person) -> None:
    commands = [person.command("run", "--detach", "--name", "only", "box:1", "sleep 600")] * 3
    running = [
        subprocess.Popen(
            command, env=person.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    results = [process.communicate(timeout=120) for process in running]
    assert sorted(process.returncode for process in running) == [0, 10, 10], results
    pods.run_ok(person, "rm", "--force", "only")


def test_commands_that_race_remove_a_pod_once(person: Person) -> None:
    pod = pods.start(person, "box:1", "sleep 600")
    running = [
        subprocess.Popen(
            person.command(*words, pod),
            env=person.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for words in (("stop",), ("kill",), ("rm", "--force"), ("rm", "--force"), ("wait",))
    ]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode in (0, 10), errors
        assert "Traceback" not in errors
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_a_pod_does_not_need_its_image_in_the_store(person: Person) -> None:
    pod = pods.start(person, "sick:1", "sleep 600")
    pods.run_ok(person, "rm", "sick:1")
    pods.run_ok(person, "gc", "--all")
    assert pods.run_ok(person, "exec", pod, "cat", "/etc/group").startswith("root:")
    pods.run_ok(person, "rm", "--force", pod)


def test_a_collection_removes_old_pods_and_keeps_running_ones(person: Person) -> None:
    ended = pods.start(person, "box:1", "true")
    running = pods.start(person, "box:1", "sleep 600")
    pods.status(person, ended, "--wait")
    pods.run_ok(person, "gc")
    assert len(pods.run_ok(person, "ps", "--all", "--quiet").split()) == 2
    pods.run_ok(person, "gc", "--grace-period", "0")
    assert pods.run_ok(person, "ps", "--all", "--quiet", "--no-trunc").split() == [running]
    pods.run_ok(person, "rm", "--force", running)


def test_a_collection_removes_what_a_killed_engine_left(person: Person) -> None:
    peers.need("runc")
    trees = person.home / "store" / "trees"
    with person.running_pumice("run", "--stage1", "runc", "box:1", pods.READY) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        (bundle,) = trees.glob("*/run-*")
        pods.run_ok(person, "gc")
        assert bundle.exists()
        running.kill()
        running.wait()
        running.stdout.read()  # to the end of the last process that has it open
    pods.run_ok(person, "gc")
    assert list(trees.glob("*/run-*")) == []
    assert [path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(f"/{bundle.name}")] == []


def test_a_full_disk_loses_output_but_not_the_exit_code() -> None:
    with pods.person_with_images("root") as root:
        store = root.home / "small"
        store.mkdir(mode=0o755)
        program = " ".join(root.command())
        loop = "while ! test -e /flag/full; do sleep 0.1; done; yes | head -n 100000; exit 5"
        script = f"""set -e
            mount -t tmpfs -o size=24m tmpfs {store}
            cp -a {root.home}/store/. {store}
            export PUMICE_HOME={store}
            mkdir {root.home}/flag
            pod=$({program} run --detach --volume {root.home}/flag:/flag box:1 '{loop}')
            dd if=/dev/zero of={store}/filling bs=64k 2>/dev/null || true
            touch {root.home}/flag/full
            {program} status --wait --format '{{{{.ExitCode}}}}' $pod
            {program} rm $pod >&2
        """
        process = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            env=root.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert (process.stdout, process.returncode) == ("5\n", 0), process.stderr


def test_a_hundred_pods_leave_nothing() -> None:
    marker = pods.lasting_sleep(9)
    with pods.person_with_images("root") as root, Home(root.home / "store") as home:
        reference = home.refs.get("box:1")
        assert reference is not None
        before = snapshot(home.root)
        image = Image(reference, home.blobs)
        for _ in range(_MANY):
            pod = PodOptions(id=pod_store.new_id(), detached=True)
            app = AppOptions(process=Overrides(arguments=(marker,)))
            assert run_image(image, app, pod, home=home, source=ImageOptions(reference="box:1")) == 0
        states = pod_store.list_pods(home)
        assert [state.state for state in states] == [pod_store.RUNNING] * _MANY
        assert len(pods.processes_with(marker)) >= _MANY
        for state in states[: _MANY // 2]:
            assert removal.stop_pod(state)
        for state in states[_MANY // 2 :]:
            removal.kill_pod(state)
        codes = [state.ended.exit_code for state in pod_store.list_pods(home) if state.ended]
        assert sorted(codes) == [137] * (_MANY // 2) + [128 + signal.SIGTERM] * (_MANY // 2)
        assert collection.collect_pods(home, 0) == _MANY
        assert list((home.root / "pods").iterdir()) == []
        assert [path for path in (home.root / "tmp").iterdir() if path.name.startswith("pod-")] == []
        pods.wait_for_end(marker)
        assert snapshot(home.root) - before == set()


def snapshot(store: Path) -> set[str]:
    """Return the mounts in a store, and the control groups and descriptors of this process."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    mounts = {line.split(" ")[4] for line in lines if str(store) in line}
    groups = {path for path, _, _ in os.walk("/sys/fs/cgroup") if f"/pumice/{os.getpid()}-" in path}
    descriptors = {f"descriptor {path.name}" for path in Path("/proc/self/fd").iterdir()}
    return mounts | groups | descriptors


PLAN, RECORD = pod_store.PLAN, "pod.json"
COMMANDS = (
    *(("inspect",), ("port",), ("status",), ("top",), ("stats", "--no-stream"), ("exec", "true"), ("cp",)),
    *(
        ("logs",),
        ("generate", "systemd"),
        ("generate", "kube"),
        ("commit", "copy:1"),
        ("pause",),
        ("unpause",),
    ),
)


@pytest.mark.parametrize("damage", [PLAN, RECORD])
def test_a_damaged_record_of_a_running_pod_is_no_internal_error(person: Person, damage: str) -> None:
    apps = ("--app", "a", "box:1", "sleep 1000", "---", "--app", "b", "box:1", "sleep 1000")
    one = pods.start(person, "--name", "one", "box:1", "sleep 1000")
    several = pods.start(person, "--name", "several", *apps)
    directory = person.home / "store" / "pods"
    damaged = [directory / several / "apps" / name / damage for name in "ab"]
    if damage == PLAN:  # without its own record, a pod is none
        damaged.append(directory / one / PLAN)
    contents = {path: path.read_bytes() for path in damaged}
    for path in damaged:
        path.write_bytes(b"no record")
    for verb, *words in COMMANDS:
        for name in ("one", "several"):
            action, rest = (words[:1], words[1:]) if verb == "generate" else ([], words)
            operands = [f"{name}:/etc/passwd", str(person.home)] if verb == "cp" else [name, *rest]
            if verb == "stats":
                operands = [*rest, name]
            process = person.pumice(verb, *action, *operands)
            assert process.returncode in (0, 10), (verb, name, process.stderr)
    for path, content in contents.items():
        path.write_bytes(content)
    pods.run_ok(person, "rm", "--force", one, several)
