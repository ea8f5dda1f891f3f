"""Event handlers, sockets and notification of App Container with each stage 1 that can have them."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import aci, peers, people, pods, ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
OPTIONS = ("--progress", "none", "--insecure-options=image")


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        yield someone
        pods.remove_all(someone)


@pytest.fixture(params=["builtin", "bwrap", "runc", "crun", "fly"])
def stage1(request: pytest.FixtureRequest) -> str:
    if request.param not in ("builtin", "fly"):
        peers.need(request.param)
    return str(request.param)


def write(person: Person, app: dict[str, Any], name: str = "hello", **members: Any) -> str:
    """Write an image with this app; return its image ID."""
    path = person.home / f"{name}.aci"
    image_id = aci.shell(path, app, name=f"example.com/{name}", labels=LABELS, **members)
    person.give(path)
    return image_id


def run(
    person: Person, stage1: str, app: dict[str, Any], *arguments: str
) -> subprocess.CompletedProcess[str]:
    write(person, app)
    return person.pumice("run", *OPTIONS, "--stage1", stage1, *arguments, "aci:hello.aci")


def without_network(stage1: str) -> tuple[str, ...]:
    return () if stage1 == "fly" else ("--network", "none")


def handler(name: str, script: str) -> dict[str, Any]:
    return {"name": name, "exec": ["/bin/sh", "-c", script]}


def test_event_handlers_run_before_and_after_the_program_with_its_user_and_files(
    person: Person, stage1: str
) -> None:
    app = {
        "exec": ["sh", "-c", "cat /tmp/a; echo main >> /tmp/a"],
        "environment": [{"name": "WHO", "value": "you"}],
        "eventHandlers": [
            handler("pre-start", "echo before $WHO $(id -u) > /tmp/a; cat"),
            handler("post-stop", "cat /tmp/a; exit 3"),
        ],
    }
    result = run(person, stage1, {**app, "user": "web", "group": "www"})
    assert result.stdout.splitlines() == ["before you 33", "before you 33", "main"], result.stderr
    assert "the post-stop handler '/bin/sh' ended with exit code 3" in result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize("options", [("--read-only",), ("--tmpfs", "/tmp:size=1m")])
def test_event_handlers_share_file_systems_in_memory_with_the_program(
    person: Person, stage1: str, options: tuple[str, ...]
) -> None:
    app = {
        "exec": ["sh", "-c", "cat /tmp/a; echo main > /tmp/a"],
        "eventHandlers": [handler("pre-start", "echo before > /tmp/a"), handler("post-stop", "cat /tmp/a")],
    }
    result = run(person, stage1, app, *options)
    assert result.stdout.splitlines() == ["before", "main"], result.stderr


def test_a_program_does_not_start_if_what_comes_before_it_fails(person: Person, stage1: str) -> None:
    handlers = [handler("pre-start", "echo no disk >&2; exit 4"), handler("post-stop", "echo after")]
    result = run(person, stage1, {"exec": ["echo", "main"], "eventHandlers": handlers})
    assert (result.returncode, result.stdout) == (11, "")
    assert "no disk\n" in result.stderr
    assert "error: the pre-start handler '/bin/sh' ended with exit code 4" in result.stderr
    missing = {"exec": ["echo"], "eventHandlers": [{"name": "pre-start", "exec": ["/nothing"]}]}
    assert "/nothing: not found in the image" in run(person, stage1, missing).stderr


def test_event_handlers_are_as_isolated_as_the_program(person: Person, stage1: str) -> None:
    look = "grep -e NoNewPrivs -e Seccomp: -e CapBnd /proc/self/status; cd /proc; echo [0-9]* | wc -c"
    app = {"exec": ["sh", "-c", look], "eventHandlers": [handler("pre-start", f"{look}; echo; exec 2>&1")]}
    before, _, program = run(person, stage1, app).stdout.partition("\n\n")
    assert before.splitlines()[:3] == program.splitlines()[:3]
    assert "NoNewPrivs:\t1" in program
    if stage1 != "fly":
        assert int(before.splitlines()[3]) < 20


def test_what_comes_after_the_program_runs_when_it_is_stopped(person: Person, stage1: str) -> None:
    app = {
        "exec": ["sh", "-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.1; done"],
        "eventHandlers": [handler("pre-start", "echo prepared"), handler("post-stop", "echo cleaned")],
    }
    write(person, app, "stopped")
    pod = person.pumice("run", "--detach", *OPTIONS, "--stage1", stage1, "aci:stopped.aci").stdout.strip()
    pods.wait_for_log(person, "ready", pod)
    assert pods.run_ok(person, "exec", pod, "cat", "/proc/self/comm") == "cat\n"
    pods.run_ok(person, "stop", pod)
    assert pods.run_ok(person, "logs", pod) == "prepared\nready\ncleaned\n"
    pods.run_ok(person, "rm", pod)


def test_kvm_says_that_it_has_no_handlers_and_no_sockets() -> None:
    from pumice.runtime.container import Container, Process
    from pumice.runtime.isolation.isolators import find_complaints

    process = Process(arguments=("x",), environment={})
    container = Container(root="/r", process=process, pre_start=("y",), listen=(("web", "tcp", "80"),))
    complaints = {complaint.option: complaint.effect for complaint in find_complaints(container, "kvm")}
    assert complaints["eventHandlers"] == complaints["socketActivated"] == "ignored"


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine that nobody uses, nor the next two."""
    with ports.reserve(3) as first:
        yield first


def with_ports(port: int, **app: Any) -> dict[str, Any]:
    """Return an app with sockets: one of TCP, and two of UDP."""
    ports = [
        {"name": "web", "protocol": "tcp", "port": port, "socketActivated": True},
        {"name": "plain", "protocol": "tcp", "port": port + 1},
        {"name": "dns", "protocol": "udp", "port": port + 1, "count": 2, "socketActivated": True},
    ]
    return {**app, "ports": ports}


SHOW = "echo $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID == $$)); ls -l /proc/$$/fd | grep -c socket"


@pytest.mark.parametrize("user", ["0", "33"])
def test_a_socket_activated_program_gets_sockets_that_listen(
    person: Person, stage1: str, user: str, port: int
) -> None:
    words = ["sh", "-c", f"{SHOW}; grep -c :{port:04X} /proc/net/tcp6"]
    app = with_ports(port, exec=words, user=user, group=user)
    result = run(person, stage1, app, *without_network(stage1))
    assert result.stdout.splitlines() == ["3 web:dns:dns 1", "3", "1"], result.stderr


def test_the_network_of_the_sockets_is_isolated(person: Person, stage1: str) -> None:
    if stage1 == "fly":
        pytest.skip("fly has the network of the host")
    result = run(person, stage1, with_ports(80, exec=["cat", "/proc/net/dev"]), "--network", "none")
    assert [line.split(":")[0].strip() for line in result.stdout.splitlines()[2:]] == ["lo"], result.stderr


def test_the_sockets_of_a_service_manager_are_passed_on_with_a_low_limit_of_files(
    person: Person, stage1: str, port: int
) -> None:
    handlers = [handler("pre-start", "echo before")]
    app = with_ports(port, exec=["sh", "-c", SHOW], eventHandlers=handlers)
    write(person, app, "passed")
    command = person.command("run", *OPTIONS, "--stage1", stage1, *without_network(stage1), "aci:passed.aci")
    with socket.create_server(("127.0.0.1", port)) as listener:
        script = 'ulimit -S -n 128; exec 3<&$0; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        result = subprocess.run(
            ["bash", "-c", script, str(listener.fileno()), *command],
            env=person.environment(),
            cwd=person.home,
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.stdout.splitlines() == ["before", "3 web:dns:dns 1", "3"], result.stderr


def test_a_program_that_notifies_gets_the_socket_of_the_service_manager(person: Person, stage1: str) -> None:
    app = {"exec": ["sh", "-c", "echo $NOTIFY_SOCKET; [ -S $NOTIFY_SOCKET ] && echo socket"]}
    supports = {"name": "appc.io/executor/supports-systemd-notify", "value": "true"}
    write(person, app, "n", annotations=[supports])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        path = person.home / "notify"
        path.unlink(missing_ok=True)
        channel.bind(str(path))
        arguments = ("run", *OPTIONS, "--stage1", stage1, "aci:n.aci")
        result = person.pumice(*arguments, env={"NOTIFY_SOCKET": str(path)})
    assert result.stdout.splitlines() == ["/run/pumice/notify", "socket"], result.stderr


def test_apps_of_a_pod_manifest_have_handlers_and_sockets(person: Person, stage1: str, port: int) -> None:
    handlers = [handler("pre-start", "echo before > /mine"), handler("post-stop", "echo after")]
    app = with_ports(port, exec=["sh", "-c", f"cat /mine; {SHOW}"], eventHandlers=handlers)
    first, second = write(person, app, "first"), write(person, {"exec": ["sh", "-c", ":"]}, "second")
    apps = [{"name": "first", "image": {"id": first}}, {"name": "second", "image": {"id": second}}]
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps}
    (person.home / "pod.json").write_text(json.dumps(manifest))
    files = ("--aci", "first.aci", "--aci", "second.aci")
    result = person.pumice("play", *OPTIONS, "--stage1", stage1, *files, "pod.json")
    lines = [line.partition(" | ")[2] for line in result.stdout.splitlines()]
    assert lines == ["before", "3 web:dns:dns 1", "3", "after"], result.stderr
    assert result.returncode == 0
