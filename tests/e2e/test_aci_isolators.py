"""Isolators of whole pods, of block devices and of networks, as the kernel has them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pumice.runtime.isolation.control_groups import find_hierarchies, find_obstacle, list_block_devices
from pumice.runtime.isolation.model import Limits
from pumice.store.home import Home
from tests.support import aci, guests, networks, peers, people

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.networks import Machine
    from tests.support.people import Person

LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
PRIVATE = {"PUMICE_NETWORK": "private"}
GROUPS = "while IFS=: read number names path; do echo $names:$path; done < /proc/self/cgroup"


@pytest.fixture(scope="module")
def root() -> Iterator[Person]:
    limits = Limits(memory=1, cpus=1, block_bandwidth=1)
    if obstacle := find_obstacle(limits):
        peers.absent(obstacle)
    with people.person("root") as someone:
        yield someone


def isolator(name: str, value: Any) -> dict[str, Any]:
    return {"name": name, "value": value}


def default(limit: str) -> dict[str, Any]:
    return {"default": True, "limit": limit}


def write_pod(person: Person, apps: dict[str, dict[str, Any]], **pod: Any) -> tuple[str, ...]:
    """Write a pod manifest with apps of one image; return the arguments that play it."""
    image_id = aci.shell(person.home / "pod.aci", {}, name="example.com/pod", labels=LABELS)
    runtime_apps = [
        {"name": name, "image": {"id": image_id}, "app": {"user": "0", "group": "0", **app}}
        for name, app in apps.items()
    ]
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": runtime_apps, **pod}
    (person.home / "pod.json").write_text(json.dumps(manifest))
    if person.name != "root":
        person.give(person.home)
    options = ("--progress", "none", "--insecure-options=image", "--aci", str(person.home / "pod.aci"))
    return (*options, str(person.home / "pod.json"))


class RunningPod:
    """A pod in the background, and the processes of its apps."""

    def __init__(self, person: Person, *arguments: str, env: dict[str, str] | None = None) -> None:
        self._person = person
        self.started = person.pumice("play", "--detach", "--name", "limited", *arguments, env=env)

    def __enter__(self) -> RunningPod:
        assert self.started.returncode == 0, self.started.stderr
        return self

    def __exit__(self, *_: object) -> None:
        self._person.pumice("rm", "--force", "limited")

    def process(self, app: str) -> int:
        """Return the process id of the program of an app."""
        status = json.loads(self._person.pumice("status", "--json", "limited").stdout)
        pod = status[0] if isinstance(status, list) else status
        return next(int(each["pid"]) for each in pod["apps"] if each["name"] == app)


def read_setting(process: int, controller: str, names: dict[int, str], levels: int) -> str:
    """Return what a file of the group of a process, or of one above, has; files differ by version."""
    hierarchy = next(each for each in find_hierarchies() if controller in each.controllers)
    own = find_hierarchies(Path(f"/proc/{process}"))
    group = next(each.own_directory for each in own if each.mount_point == hierarchy.mount_point)
    return (group.parents[levels - 1] if levels else group).joinpath(names[hierarchy.version]).read_text()


MEMORY = {1: "memory.limit_in_bytes", 2: "memory.max"}
CPU = {1: "cpu.cfs_quota_us", 2: "cpu.max"}
READS = {1: "blkio.throttle.read_bps_device", 2: "io.max"}
WRITES = {1: "blkio.throttle.write_iops_device", 2: "io.max"}


def test_limits_of_a_pod_are_those_of_all_its_apps_together(root: Person) -> None:
    sleep = {"exec": ["sleep", "1000"]}
    greedy = {**sleep, "isolators": [isolator("resource/cpu", {"limit": "3"})]}
    small = {**sleep, "isolators": [isolator("resource/memory", {"limit": "64Mi"})]}
    pod = [isolator("resource/memory", {"limit": "256Mi"}), isolator("resource/cpu", {"limit": "1500m"})]
    with RunningPod(root, *write_pod(root, {"a": greedy, "b": small}, isolators=pod)) as running:
        assert "isolator" not in running.started.stderr
        for app in ("a", "b"):
            process = running.process(app)
            assert int(read_setting(process, "memory", MEMORY, 1)) == 256 << 20
            assert read_setting(process, "cpu", CPU, 1).split()[0] == "150000"
        assert int(read_setting(running.process("b"), "memory", MEMORY, 0)) == 64 << 20
        # More than the pod has would be refused by the kernel, and would mean nothing.
        assert read_setting(running.process("a"), "cpu", CPU, 0).split()[0] == "150000"


def test_a_pod_that_uses_more_memory_than_it_has_is_stopped(root: Person) -> None:
    greedy = {"exec": ["sh", "-c", "x=$(head -c 60000000 /dev/zero | tr '\\0' x); echo done"]}
    pod = [isolator("resource/memory", {"limit": "20Mi"})]
    result = root.pumice("play", *write_pod(root, {"a": greedy}, isolators=pod))
    assert "done" not in result.stdout
    assert result.returncode != 0
    assert "done" in root.pumice("play", *write_pod(root, {"a": greedy})).stdout


def test_block_devices_are_limited_for_apps_and_pods(root: Person) -> None:
    app = {
        "exec": ["sleep", "1000"],
        "isolators": [isolator("resource/block-bandwidth", default("1M"))],
    }
    pod = [isolator("resource/block-iops", default("500"))]
    with RunningPod(root, *write_pod(root, {"a": app}, isolators=pod)) as running:
        process = running.process("a")
        bandwidth, operations = (
            read_setting(process, "io", names, level) for names, level in ((READS, 0), (WRITES, 1))
        )
        for device in list_block_devices():
            assert any(line.startswith(device) and "1000000" in line for line in bandwidth.splitlines())
            assert any(line.startswith(device) and "500" in line for line in operations.splitlines())
        is_first = all(each.version == 1 for each in find_hierarchies() if "io" in each.controllers)
        reason = "is modified: control groups of version 1 do not limit writes that the kernel delays"
        assert (f"resource/block-bandwidth {reason}" in running.started.stderr) == is_first
        assert (f"resource/block-iops of the pod {reason}" in running.started.stderr) == is_first


def test_limits_that_a_user_cannot_have_are_named() -> None:
    with people.person("ordinary") as person:
        app = {
            "exec": ["echo", "ran"],
            "isolators": [isolator("resource/block-bandwidth", default("1M"))],
        }
        pod = [isolator("resource/memory", {"limit": "20Mi"}), isolator("resource/block-iops", default("9"))]
        arguments = write_pod(person, {"a": app}, isolators=pod)
        result = person.pumice("play", *arguments)
        assert result.stdout == "a | ran\n", result.stderr
        for name in ("resource/block-bandwidth", "resource/block-iops of the pod"):
            assert f"warning: the isolator {name} is ignored: " in result.stderr
        assert "--memory of the pod is ignored: " in result.stderr
        assert person.pumice("play", "--strict", *arguments).returncode == 11


# Networks -----------------------------------------------------------------------------------------


@pytest.fixture(params=["root", "ordinary"])
def host(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Person]:
    peers.need("tc")
    networks.need_private_networks(request.param)
    with people.person(request.param) as someone:
        yield machine.host(someone)


NETWORK = "resource/network-bandwidth"


@pytest.mark.parametrize("limit", ["1", "9E"])
def test_any_bandwidth_can_be_a_limit(host: Person, limit: str) -> None:
    app = {"exec": ["echo", "ran"], "isolators": [isolator(NETWORK, default(limit))]}
    result = host.pumice("play", *write_pod(host, {"a": app}), env=PRIVATE)
    assert (result.stdout, "isolator" in result.stderr) == ("a | ran\n", False), result.stderr


def test_the_network_of_a_pod_is_limited_in_both_directions(host: Person, machine: Machine) -> None:
    app = {"exec": ["sleep", "1000"], "isolators": [isolator(NETWORK, default("4M"))]}
    pod = [isolator(NETWORK, default("1M"))]
    with RunningPod(host, *write_pod(host, {"a": app}, isolators=pod), env=PRIVATE) as running:
        assert "isolator" not in running.started.stderr
        enter = ("nsenter", f"--target={running.process('a')}", "--net", "--")
        queues = machine.run(*enter, "tc", "qdisc", "show").splitlines()
        limited = [line for line in queues if "tbf" in line and "rate 8Mbit" in line]
        assert len(limited) == 2, queues
        assert not any(line.startswith("qdisc tbf") and " dev lo " in line for line in queues)
        redirects = machine.run(*enter, "tc", "filter", "show", "dev", limited[0].split()[4], "ingress")
        assert "redirect" in redirects.casefold()


def test_the_network_of_a_virtual_machine_is_limited(host: Person, machine: Machine) -> None:
    kernel = guests.need_kernel()
    for name in ("boot", "lib"):
        shutil.copytree(Path(kernel) / name, host.home / "kernel" / name, symlinks=True)
    reference = write_image(host, {"exec": ["sleep", "1000"]}, default("1M"))
    options = ("--progress", "none", "--insecure-options=image", "--stage1", "kvm", "--network", "private")
    env = {"PUMICE_KERNEL": str(host.home / "kernel")}
    started = host.pumice("run", "--detach", "--name", "limited", *options, reference, env=env)
    try:
        assert (started.returncode, "isolator" in started.stderr) == (0, False), started.stderr
        status = json.loads(host.pumice("status", "--json", "limited").stdout)
        enter = ("nsenter", f"--target={status[0]['pid']}", "--net", "--")
        queues = machine.run(*enter, "tc", "qdisc", "show").splitlines()
        assert len([line for line in queues if "tbf" in line and "rate 8Mbit" in line]) == 2, queues
    finally:
        host.pumice("rm", "--force", "limited")


def write_image(person: Person, app: dict[str, Any], bandwidth: dict[str, Any]) -> str:
    """Write an image whose network is limited; return its reference."""
    path = person.home / "limited.aci"
    app = {**app, "isolators": [isolator(NETWORK, bandwidth)]}
    aci.shell(path, app, name="example.com/limited", labels=LABELS)
    person.give(person.home)
    return f"aci:{path}"


@pytest.mark.parametrize("verb", ["run", "prepare"])
def test_strict_refuses_bandwidth_that_cannot_be_limited(host: Person, verb: str) -> None:
    reference = write_image(host, {"exec": ["echo", "ran"]}, default("1M"))
    options = ("--progress", "none", "--insecure-options=image", "--network", "host")
    lax = host.pumice(verb, *options, *(() if verb == "run" else ("--name", "limited")), reference)
    if verb == "prepare":
        lax = host.pumice("run-prepared", "limited")
    reason = "is ignored: the pod shares the network of the machine"
    assert (lax.stdout, f"{NETWORK} {reason}" in lax.stderr) == ("ran\n", True), lax.stderr
    strict = host.pumice("run", "--strict", *options, reference)
    assert (strict.returncode, strict.stdout) == (11, "")
    assert f"error: the isolator {NETWORK} would be ignored: the pod shares" in strict.stderr


def play(person: Person, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return person.pumice("play", *arguments, env=env)


def test_bandwidth_that_cannot_be_limited_is_named(host: Person) -> None:
    app = {"exec": ["echo", "ran"], "isolators": [isolator(NETWORK, default("1M"))]}
    alone = write_pod(host, {"a": app})
    shared = play(host, *alone, env={"PUMICE_NETWORK": "host"})
    reason = "is ignored: the pod shares the network of the machine"
    assert f"warning: the isolator {NETWORK} {reason}" in shared.stderr
    assert shared.stdout == "a | ran\n"
    none = play(host, "--network", "none", *alone, env={})
    assert (none.stdout, "isolator" in none.stderr) == ("a | ran\n", False)
    two = play(host, *write_pod(host, {"a": app, "b": app}), env=PRIVATE)
    assert f"{NETWORK} of the app 'b' is ignored: the apps of the pod share a network" in two.stderr


def test_a_run_that_is_repeated_by_a_plan_keeps_the_limit_of_its_network(host: Person) -> None:
    app = {"exec": ["/bin/busybox", "cat", "/proc/net/dev"], "user": "0", "group": "0"}
    limited = {**app, "isolators": [isolator(NETWORK, default("1M"))]}
    labels = [*LABELS, {"name": "version", "value": "1"}]
    aci.shell(host.home / "limited.aci", limited, name="example.com/limited", labels=labels)
    if host.name != "root":
        host.give(host.home)
    source = f"aci:{host.home}/limited.aci"
    copied = host.pumice("copy", "--insecure-options=image", source, "store:example.com/limited:1")
    assert copied.returncode == 0, copied.stderr
    with Home(host.home / "store") if host.name == "root" else host.store() as home:
        for descriptor in home.refs.all().values():
            home.build_marks.add(descriptor.digest)
    for _ in range(2):
        process = host.pumice("run", "--progress", "none", "example.com/limited:1", env=PRIVATE)
        assert process.returncode == 0, process.stderr
        assert "limit0:" in process.stdout
