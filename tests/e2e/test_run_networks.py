"""The networks of ``pumice run``: published ports, names, addresses, and nothing that is left behind."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, networks, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.networks import Machine
    from tests.support.people import Person

pytestmark = pytest.mark.peer("curl", "nsenter")

SERVE = "mkdir -p /tmp/www; echo $0 > /tmp/www/index.html; exec busybox httpd -f -p 80 -h /tmp/www"
UDP_SERVER = """exec /usr/bin/python3 -c '
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("", 5353))
_, address = server.recvfrom(99)
server.sendto(b"answer", address)'"""
UDP_CLIENT = """
import select
import socket
for _ in range(200):
    # A new port for each question: the kernel remembers where it sent packets before the program listened.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", 5300))
        client.settimeout(0.5)
        try:
            client.send(b"question")
            print(client.recv(99).decode(), end="")
            break
        except OSError:  # refused, because nothing has the port yet
            select.select([], [], [], 0.1)
"""
PRIVATE = {"PUMICE_NETWORK": "private"}


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Person]:
    networks.need_private_networks(request.param)
    with people.person(request.param) as someone:
        make_images(someone)
        yield machine.host(someone)


@pytest.fixture(scope="module")
def root(machine: Machine) -> Iterator[Person]:
    networks.need_private_networks("root")
    with people.person("root") as someone:
        make_images(someone)
        yield machine.host(someone)


def make_images(someone: Person) -> None:
    content = images.shell()
    with Home(someone.home / "store") as home:
        shell = ("sh", "-c")
        images.make(home, [content], name="box:1", config=oci.RunConfig(entrypoint=shell))
        web = oci.RunConfig(
            entrypoint=shell, cmd=(SERVE, "hello"), user="65532", exposed_ports={"80/tcp": oci.Empty()}
        )
        images.make(home, [content], name="web:1", config=web)
    someone.give(someone.home)


@contextmanager
def running(
    person: Person, *arguments: str, options: tuple[str, ...] = ("--progress", "plain")
) -> Iterator[subprocess.Popen[str]]:
    """Yield a running ``pumice run``, which is killed when the context ends."""
    process = subprocess.Popen(
        person.command("run", *options, *arguments),
        env=person.environment(PRIVATE),
        cwd=person.home,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        except AssertionError as error:
            process.kill()
            raise AssertionError(f"{error}\n{process.communicate(timeout=60)}") from error
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test after which an attachment remains, so that it does not disturb another."""
    persons = [request.getfixturevalue(name) for name in ("person", "root") if name in request.fixturenames]
    yield
    for person in persons:
        networks.wait_for_release(person)


def test_a_declared_port_is_reachable_from_everywhere(person: Person, machine: Machine) -> None:
    port = 80 if person.name == "root" else 8080
    with running(person, "web:1"):
        assert machine.fetch(f"http://127.0.0.1:{port}/") == "hello\n"
        assert machine.fetch(f"http://[::1]:{port}/") == "hello\n"
        assert machine.fetch(f"http://{networks.MACHINE_ADDRESS}:{port}/") == "hello\n"
        assert machine.fetch(f"http://{networks.MACHINE_ADDRESS}:{port}/", beside=True) == "hello\n"


def test_publish_chooses_the_port_and_the_address(person: Person, machine: Machine) -> None:
    with running(person, "-p", "127.0.0.1:8100:80", "-p", "8101:81", "web:1"):
        assert machine.fetch("http://127.0.0.1:8100/") == "hello\n"
        url = f"http://{networks.MACHINE_ADDRESS}:8100/"
        assert machine.run_beside("curl", "--silent", "--max-time", "3", url, check=False) == ""


def test_a_port_in_use_is_an_error_that_names_it(person: Person, machine: Machine) -> None:
    with running(person, "-p", "8110:80", "web:1"):
        assert machine.fetch("http://127.0.0.1:8110/") == "hello\n"
        result = person.pumice("run", "-p", "8110:80", "box:1", "true", env=PRIVATE)
        assert result.returncode == 11
        assert "error: cannot publish port 8110/tcp: it is in use" in result.stderr
        result = person.pumice(
            "run", "--progress", "plain", "-p", "8110-8119:80", "box:1", "true", env=PRIVATE
        )
        assert (result.returncode, result.stderr.splitlines()[-1]) == (0, "published 80/tcp -> 0.0.0.0:8111")


def test_a_port_is_free_again_when_the_program_has_ended(person: Person) -> None:
    for _ in range(3):
        result = person.pumice("run", "--progress", "none", "-p", "8120:80", "box:1", "true", env=PRIVATE)
        assert (result.returncode, result.stderr) == (0, "")


def test_publish_all_takes_free_ports(person: Person, machine: Machine) -> None:
    with running(person, "-P", "web:1") as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if line.startswith("published"))
        port = int(line.rpartition(":")[2])
        assert port >= 1024
        assert machine.fetch(f"http://127.0.0.1:{port}/") == "hello\n"


def test_udp_ports_are_published(person: Person, machine: Machine) -> None:
    volumes = [
        f"--volume={path}:{path.removeprefix('/usr') or path}:ro" for path in ("/usr/lib", "/usr/lib64")
    ]
    volumes.append("--volume=/usr:/usr:ro")
    with running(person, "-p", "5300:5353/udp", *volumes, "box:1", UDP_SERVER):
        assert machine.run("python3", "-c", UDP_CLIENT) == "answer"


def test_every_port_may_be_opened_inside(person: Person) -> None:
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert person.pumice("run", "--user", "1", "box:1", script, env=PRIVATE).stdout == "0\n"


@pytest.mark.parametrize("stage1", ["builtin", "bwrap", "runc"])
def test_each_stage1_uses_the_network(person: Person, machine: Machine, stage1: str) -> None:
    if stage1 != "builtin":
        peers.need(stage1)
    with running(person, "--stage1", stage1, "--user", "0", "-p", "8130:80", "web:1"):
        assert machine.fetch("http://127.0.0.1:8130/") == "hello\n"


def test_services_on_the_loopback_of_the_machine_are_not_reachable(person: Person, machine: Machine) -> None:
    gateway = "$(busybox ip route | busybox awk '/default/ {print $3}')"
    script = f"busybox wget -T 2 -qO- http://{gateway}:8140/ || echo refused"
    server = [*machine.prefix, "busybox", "httpd", "-f", "-p", "127.0.0.1:8140", "-h", "/etc"]
    with subprocess.Popen(server) as process:
        try:
            assert "404" in machine.run(
                "curl", "-sS", "--retry", "20", "--retry-connrefused", "127.0.0.1:8140/"
            )
            assert person.pumice("run", "box:1", script, env=PRIVATE).stdout == "refused\n"
        finally:
            process.kill()


def test_the_world_is_reachable(person: Person, machine: Machine) -> None:
    script = f"busybox ping -c 1 -W 5 {networks.NEIGHBOR_ADDRESS} > /dev/null 2>&1; busybox ip route"
    assert "default via" in person.pumice("run", "box:1", script, env=PRIVATE).stdout


def test_the_program_resolves_its_own_name(person: Person) -> None:
    result = person.pumice("run", "box:1", "busybox grep -w pumice /etc/hosts", env=PRIVATE)
    assert result.stdout.split()[1:] == ["pumice"]


def test_network_none_has_only_loopback(person: Person) -> None:
    result = person.pumice("run", "--network", "none", "box:1", "busybox ls /proc/sys/net/ipv4/conf")
    assert result.stdout.split() == ["all", "default", "lo"]


def test_host_uses_the_network_of_the_machine(person: Person) -> None:
    result = person.pumice("run", "--network", "host", "box:1", "busybox ls /proc/sys/net/ipv4/conf")
    assert "up0" in result.stdout.split()


def test_nothing_is_left_after_the_end(person: Person, machine: Machine) -> None:
    networks.wait_for_release(person)
    before = machine.network_state()
    with running(person, "-p", "8150:80", "web:1") as process:
        assert machine.fetch("http://127.0.0.1:8150/") == "hello\n"
        process.kill()
    networks.wait_for_release(person)
    assert machine.network_state() == before
    folder = person.home / "store/networks/attachments"
    assert [path for path in folder.iterdir() if path.is_dir()] == []


def test_pods_on_a_named_network_find_each_other(root: Person, machine: Machine) -> None:
    options = ("--network", "backend", "--network-alias")
    with running(root, *options, "one", "-p", "8170:80", "web:1", SERVE, "first"):
        assert machine.fetch("http://127.0.0.1:8170/") == "first\n"
        with running(root, *options, "two", "-p", "8171:80", "web:1", SERVE, "second"):
            assert machine.fetch("http://127.0.0.1:8171/") == "second\n"
            ask = "for name in one two; do busybox wget -qO- http://$name/; done; cat /etc/hosts"
            result = root.pumice("run", "--network", "backend", "box:1", ask)
            assert result.stdout.startswith("first\nsecond\n")
        wait_for_names(root, "two")
        result = root.pumice("run", "--network", "backend", "box:1", "cat /etc/hosts")
        assert "\tone" in result.stdout and "\ttwo" not in result.stdout


def wait_for_names(person: Person, name: str) -> None:
    """Wait until the pod ``name`` has left its network."""
    for directory in (person.home / "store/networks/attachments").iterdir():
        if directory.is_dir() and name in json.loads((directory / "record.json").read_bytes())["names"]:
            subprocess.run(["flock", str(directory), "true"], check=False, capture_output=True)


def test_a_pod_reaches_another_through_a_published_port(root: Person, machine: Machine) -> None:
    with running(root, "-p", "8180:80", "web:1"):
        assert machine.fetch("http://127.0.0.1:8180/") == "hello\n"
        script = f"busybox wget -qO- http://{networks.MACHINE_ADDRESS}:8180/"
        assert root.pumice("run", "box:1", script, env=PRIVATE).stdout == "hello\n"


def test_an_address_can_be_chosen(root: Person) -> None:
    root.pumice("run", "--network", "fixed", "box:1", "true")
    definition = json.loads((root.home / "store/networks/net.d/fixed.conflist").read_bytes())
    subnet = definition["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
    address = subnet.replace(".0/24", ".77")
    result = root.pumice("run", "--network", f"fixed:ip={address}", "box:1", "busybox ip address show eth0")
    assert f"inet {address}/24" in result.stdout


def test_an_ordinary_user_has_no_named_networks(person: Person) -> None:
    if person.name == "root":
        pytest.skip("root has them")
    result = person.pumice("run", "--network", "backend", "box:1", "true")
    assert result.returncode == 2
    assert "needs root" in result.stderr


def test_slirp4netns_is_used_without_pasta(person: Person, machine: Machine) -> None:
    if person.name == "root":
        pytest.skip("root uses CNI")
    peers.need("slirp4netns")
    pasta = peers.need("pasta")
    machine.run("mount", "--bind", "/dev/null", pasta)
    try:
        with running(person, "-p", "8190:80", "web:1"):
            assert machine.fetch("http://127.0.0.1:8190/") == "hello\n"
            assert machine.fetch("http://[::1]:8190/") == "hello\n"
        networks.wait_for_release(person)
    finally:
        machine.run("umount", pasta)


def test_the_apps_of_a_pod_share_a_network_and_its_ports(person: Person, machine: Machine) -> None:
    ports = ("--publish", "127.0.0.1:18093:80", "--publish", "127.0.0.1:18094:81")
    other = SERVE.replace("-p 80", "-p 81")
    with running(person, *ports, "web:1", SERVE, "one", "---", "--app", "b", "box:1", other, "two"):
        assert machine.fetch("http://127.0.0.1:18093/") == "one\n"
        assert machine.fetch("http://127.0.0.1:18094/") == "two\n"


def test_published_ports_are_listed(person: Person) -> None:
    ports = ("--publish", "18470:80", "--publish", "127.0.0.1:18471:81/udp")
    process = person.pumice("run", "--detach", "--name", "ports", *ports, "web:1", env=PRIVATE)
    assert process.returncode == 0, process.stderr
    lines = person.pumice("port", "ports").stdout.splitlines()
    assert lines == ["80/tcp -> 0.0.0.0:18470", "81/udp -> 127.0.0.1:18471"]
    assert person.pumice("port", "ports", "81/udp").stdout == "127.0.0.1:18471\n"
    assert person.pumice("port", "ports", "81").returncode == 10
    (stats,) = json.loads(person.pumice("stats", "--no-stream", "--json", "ports").stdout)
    assert stats["network_received"] >= 0
    assert person.pumice("rm", "--force", "ports").returncode == 0
    networks.wait_for_release(person)


@pytest.mark.parametrize("stage1", ["builtin", "bwrap", "runc"])
def test_a_repeated_run_has_a_network_of_its_own_by_its_plan(person: Person, stage1: str) -> None:
    if stage1 != "builtin":
        peers.need(stage1)
    script = "grep -c eth0 /proc/net/dev; grep -c pumice /etc/hosts; cat /etc/resolv.conf | wc -l; exit 7"
    results = []
    for _ in range(2):
        process = person.pumice(
            *("run", "--stage1", stage1, "box:1", script), env={**PRIVATE, "PYTHONPROFILEIMPORTTIME": "1"}
        )
        results.append((process.returncode, process.stdout))
        modules = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
        messages = [line for line in process.stderr.splitlines() if not line.startswith("import time:")]
    assert "pumice.runtime.quick.networks" in modules, messages
    assert "pumice.runtime.run" not in modules
    assert results[0] == results[1]
    assert results[0][0] == 7, messages


def test_a_repeated_run_publishes_its_ports_by_its_plan(person: Person, machine: Machine) -> None:
    words = ("--publish", "18492:80", "-p", "127.0.0.1:18493:81/udp")
    traced = {**PRIVATE, "PYTHONPROFILEIMPORTTIME": "1"}
    runs = [person.pumice("run", *words, "web:1", "exit 3", env=traced) for _ in range(2)]
    assert [process.returncode for process in runs] == [3, 3]
    assert ["pumice.runtime.run\n" in process.stderr for process in runs] == [True, False]
    for _ in range(2):
        with running(person, *words, "web:1", options=()):
            assert machine.fetch("http://127.0.0.1:18492/") == "hello\n"
            others = [person.pumice("run", *words, "web:1", "exit 3", env=PRIVATE) for _ in range(2)]
        assert [process.returncode for process in others] == [11, 11]
        assert "cannot publish port 18492/tcp: it is in use" in others[1].stderr
    networks.wait_for_release(person)


def test_a_port_that_is_chosen_is_reported_by_each_run(person: Person) -> None:
    for _ in range(2):
        process = person.pumice("run", "--publish", "80", "web:1", "exit 3", env=PRIVATE)
        assert process.returncode == 3
        assert "published 80/tcp -> " in process.stderr


def test_a_port_in_use_is_the_same_error_by_a_plan(root: Person, machine: Machine) -> None:
    traced = {**PRIVATE, "PYTHONPROFILEIMPORTTIME": "1"}
    assert root.pumice("run", "web:1", "exit 3", env=PRIVATE).returncode == 3
    process = root.pumice("run", "web:1", "exit 3", env=traced)
    assert (process.returncode, "pumice.runtime.run\n" in process.stderr) == (3, False)
    with running(root, "web:1"):
        assert machine.fetch("http://127.0.0.1:80/") == "hello\n"
        results = [
            root.pumice("run", "web:1", "exit 3", env={**PRIVATE, "PUMICE_RUN_PLANS": switch})
            for switch in ("0", "1")
        ]
    assert results[0].returncode == results[1].returncode == 11
    assert results[0].stderr == results[1].stderr
    networks.wait_for_release(root)


def test_another_port_than_that_of_the_image_is_reported_by_each_run(person: Person) -> None:
    expected = "" if person.name == "root" else "published 80/tcp -> "
    for _ in range(2):
        process = person.pumice("run", "web:1", "exit 3", env=PRIVATE)
        assert process.returncode == 3
        assert expected in process.stderr
