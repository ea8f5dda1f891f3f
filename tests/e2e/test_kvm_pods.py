"""Pods of several apps in a virtual machine, with few starts, because each takes seconds."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from pumice.store.home import Home
from tests.support import guests, images, people, pods, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

pytestmark = [
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="kvm is only for x86-64"),
    pytest.mark.long,
]
_KVM = ("--stage1", "kvm", "--network", "none")


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        yield guests.with_kernel(someone)


def test_apps_share_the_machine_but_not_files_and_processes(person: Person) -> None:
    volume = person.home / "data"
    volume.mkdir()
    person.give(volume)
    look = "hostname; id -u; pwd; ulimit -n; echo $GREETING; ls /proc | grep -c '^[0-9]'; cat /data/x 2>&1"
    process = person.pumice(
        *("run", "--progress", "none", *_KVM, "--hostname", "both", "--env", "GREETING=hi"),
        *("--ulimit", "nofile=99", "--volume", f"{volume}:/data", "box:1"),
        f"echo seen > /data/x; {look}; touch /mine; nc -l -p 7100; exit 3",
        *("---", "--app", "other", "--user", "1000", "--workdir", "/tmp", "--read-only", "box:1", "--"),
        f"{look}; until echo called | nc 127.0.0.1 7100; do sleep 0.1; done; ls /mine; exit 0",
    )
    lines = process.stdout.splitlines()
    box = [line.removeprefix("box   | ") for line in lines if line.startswith("box")]
    other = [line.removeprefix("other | ") for line in lines if line.startswith("other")]
    assert process.returncode == 3, process.stderr
    assert [*box[:5], *box[6:]] == ["both", "0", "/", "99", "hi", "seen", "called"]
    assert other[:3] == ["both", "1000", "/tmp"]
    assert other[4] == ""
    assert int(box[5]) <= 4
    assert int(other[5]) <= 4
    assert "No such file or directory" in other[6]
    assert "other | ls: /mine: No such file or directory" in process.stderr
    assert (volume / "x").read_text() == "seen\n"
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_commands_know_the_apps(person: Person) -> None:
    pods.start(
        person,
        *("--name", "shop", *_KVM, "box:1", f"echo web; echo oops >&2; {pods.READY}"),
        *("---", "--app", "db", "box:1", "echo data; trap 'exit 6' TERM; while :; do sleep 0.1; done"),
        *("---", "--app", "third", "box:1", "exec sleep 600"),
    )
    pods.wait_for_log(person, "ready", "shop")
    pods.wait_for_log(person, "data", "--app", "db", "shop")
    assert pods.run_ok(person, "exec", "--app", "db", "shop", "cat", "/proc/1/cmdline").startswith("sh\0-c")
    pods.run_ok(person, "exec", "--app", "third", "shop", "touch", "/tmp/of-third")
    assert person.pumice("exec", "--app", "db", "shop", "ls", "/tmp/of-third").returncode == 1
    pods.run_ok(person, "cp", "--app", "third", "shop:/tmp/of-third", str(person.home / "of-third"))
    top = pods.run_ok(person, "top", "shop").splitlines()
    assert {line.split()[0] for line in top} == {"APP", "box", "db", "third", "-"}

    pods.run_ok(person, "kill", "--signal", "KILL", "--app", "third", "shop")
    assert pods.run_ok(person, "wait", "--app", "third", "shop") == "137\n"
    assert pods.run_ok(person, "exec", "--app", "db", "shop", "echo", "on") == "on\n"
    pods.run_ok(person, "stop", "--app", "db", "shop")
    assert pods.run_ok(person, "wait", "--app", "db", "shop") == "6\n"
    assert pods.status(person, "shop")["state"] == "running"
    pods.run_ok(person, "stop", "shop")
    assert [app["exit_code"] for app in pods.status(person, "shop")["apps"]] == [5, 6, 137]
    pods.run_ok(person, "rm", "shop")


PROBED = """\
apiVersion: v1
kind: Pod
metadata: {name: probed}
spec:
  containers:
  - name: web
    image: box:1
    args:
    - while :; do (echo "HTTP/1.0 $$(cat /tmp/status)"; echo) | nc -l -p 7100; done
    ports: [{name: http, containerPort: 7100}]
    livenessProbe:
      httpGet: {host: localhost, port: http, path: /health, httpHeaders: [{name: X-A, value: b}]}
      periodSeconds: 1
      timeoutSeconds: 60
  - name: raw
    image: box:1
    args: ["nc -ll -p 7101 -e true"]
    readinessProbe: {tcpSocket: {port: 7101}, periodSeconds: 1, timeoutSeconds: 60}
  - name: closed
    image: box:1
    args: ["sleep 600"]
    livenessProbe: {tcpSocket: {port: 7102}, periodSeconds: 1, timeoutSeconds: 60, failureThreshold: 1}
  - name: own
    image: box:1
    args: ["touch /tmp/fine; sleep 600"]
    livenessProbe: {exec: {command: [sh, -c, "test -e /tmp/fine"]}, periodSeconds: 1, timeoutSeconds: 60}
"""


def _health_of(person: Person) -> dict[str, str]:
    apps = pods.status(person, "probed")["apps"]
    return {app["name"]: app["health"] for app in apps}


def test_probes_ask_in_the_machine(person: Person) -> None:
    if person.name != "root":
        pytest.skip("the same as for root")
    process = person.pumice(*("play", "--progress", "none", "--detach", *_KVM, "--strict", "-"), input=PROBED)
    assert process.returncode == 0, process.stderr
    pods.run_ok(person, "exec", "--app", "web", "probed", "sh", "-c", "echo 200 OK > /tmp/status")
    expected = {"web": "healthy", "raw": "healthy", "closed": "unhealthy", "own": "healthy"}
    waiting.until(lambda: _health_of(person) == expected, lambda: _health_of(person))
    pods.run_ok(person, "exec", "--app", "web", "probed", "sh", "-c", "echo 500 NO > /tmp/status")
    waiting.until(lambda: _health_of(person)["web"] == "unhealthy", lambda: _health_of(person))
    pods.run_ok(person, "rm", "--force", "probed")


def test_a_machine_that_ends_is_the_reason_of_the_pod(person: Person) -> None:
    if person.name != "root":
        pytest.skip("the same as for root")
    pod = pods.start(person, *_KVM, "box:1", "sleep 600", "---", "--app", "b", "box:1", "sleep 600")
    listed = json.loads(pods.run_ok(person, "top", "--format", "json", pod))
    (machine,) = [item["host_pid"] for item in listed if item["command"][0].endswith("qemu-system-x86_64")]
    os.kill(machine, signal.SIGKILL)
    assert pods.run_ok(person, "wait", pod) == "11\n"
    state = pods.status(person, pod)
    assert state["error"] == "the virtual machine ended before its apps (exit code -9 of qemu)"
    assert [app["exit_code"] for app in state["apps"]] == [11, 11]
    pods.run_ok(person, "rm", pod)


def test_an_app_ends_with_what_shares_its_files(person: Person) -> None:
    if person.name != "root":
        pytest.skip("the same as for root")
    pod = pods.start(person, *_KVM, "box:1", "sleep 600", "---", "--app", "b", "box:1", "sleep 600")
    listed = json.loads(pods.run_ok(person, "top", "--format", "json", pod))
    servers = [item["host_pid"] for item in listed if item["command"][0].endswith("virtiofsd")]
    os.kill(servers[0], signal.SIGKILL)
    assert pods.run_ok(person, "wait", "--app", "box", pod) == "11\n"
    first, second = pods.status(person, pod)["apps"]
    assert first["error"] == "virtiofsd, which shares files with the virtual machine, ended before sh"
    assert second["state"] == "running"
    pods.run_ok(person, "rm", "--force", pod)


def test_an_app_that_cannot_be_set_up_stops_the_pod(person: Person) -> None:
    process = person.pumice(
        *("run", "--progress", "none", *_KVM, "box:1", "sleep 600"),
        *("---", "--app", "b", "--workdir", "/bin/busybox/below", "box:1", "true"),
    )
    assert process.returncode == 11
    assert process.stderr.startswith("error: b: ")
    assert "Not a directory" in process.stderr
    assert pods.run_ok(person, "ps", "--all", "--quiet") == ""


def test_several_apps_need_a_server_for_their_files_and_few_devices(person: Person) -> None:
    many = [word for number in range(29) for word in ("---", "--app", f"a{number}", "box:1")][1:]
    process = person.pumice("run", *_KVM, *many)
    assert process.returncode == 11
    assert "kvm runs 28 apps of a pod at most" in process.stderr
    with people.person("stranger") as stranger:
        with Home(stranger.home / "store") as home:
            images.make(home, [images.shell()], name="box:1")
        stranger.give(stranger.home)
        process = stranger.pumice("run", *_KVM, "box:1", "true", "---", "--app", "b", "box:1", "true")
    assert process.returncode == 11
    assert "kvm runs pods of several apps only with virtiofsd" in process.stderr
