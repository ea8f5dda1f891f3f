"""Pods that ask who they are: in every kind of network, as every kind of user, with every stage 1."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, networks, peers, people, pods, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.networks import Machine
    from tests.support.people import Person

ASK = "busybox wget -q -O - $AC_METADATA_URL/acMetadata/v1/"
FLAVOR = "--header 'Metadata-Flavor: AppContainer'"


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Person]:
    with people.person(request.param) as someone:
        with Home(someone.home / "store") as home:
            config = oci.RunConfig(entrypoint=("sh", "-c"), env=("COLOR=blue",), user="65532")
            images.make(home, [images.shell()], name="example.com/box:1", config=config)
        someone.give(someone.home)
        on_machine = machine.host(someone)
        yield on_machine
        pods.remove_all(on_machine)
        end_services(on_machine)


def end_services(person: Person) -> None:
    pods.send_signal(f"runtime/metadata/__main__.py {person.home}", signal.SIGTERM)


def run(person: Person, *arguments: str, network: str = "host") -> str:
    return pods.run_ok(person, "run", "--progress", "none", "--network", network, "--mds", *arguments)


@pytest.mark.parametrize("network", ["host", "none", "private"])
def test_a_pod_learns_who_it_is_in_every_network(person: Person, network: str) -> None:
    if network == "private":
        networks.need_private_networks(person.name)
    script = (
        f"{ASK}pod/uuid; echo; {ASK}apps/$AC_APP_NAME/image/manifest; echo; echo $AC_METADATA_URL $container"
    )
    uuid, manifest, last = run(person, "example.com/box:1", script, network=network).splitlines()
    assert len(uuid) == 36
    assert json.loads(manifest)["name"] == "example.com/box"
    url, container = last.split()
    assert container == "pumice"
    assert url.startswith("http://127.0.0.1:")
    assert ("//127.0.0.1:18112/" in url) == (network != "host")


@pytest.mark.peer("bwrap", "runc")
@pytest.mark.parametrize("stage1", ["builtin", "bwrap", "runc"])
def test_every_stage1_gives_access(person: Person, stage1: str) -> None:
    if stage1 == "runc" and person.name != "root":
        pytest.skip("runc cannot map the user of this image to an ordinary user")
    script = f"{ASK}pod/uuid; busybox stat -c %F /run/pumice/metadata.sock"
    output = run(person, "--stage1", stage1, "example.com/box:1", script, network="none")
    assert output[36:] == "socket\n"


def test_what_a_pod_is_told_is_what_runs(person: Person) -> None:
    script = f"{ASK}pod/manifest; echo; {ASK}pod/annotations; echo; {ASK}apps/box/image/id"
    options = ("--env", "PASSWORD=secret", "--label", "role=db", "--tmpfs", "/cache", "--read-only")
    manifest, annotations, identifier = run(person, *options, "example.com/box:1", script).splitlines()
    assert json.loads(annotations) == [{"name": "role", "value": "db"}]
    pod = json.loads(manifest)
    (app,) = pod["apps"]
    assert app["image"] == {"id": identifier, "name": "example.com/box", "labels": app["image"]["labels"]}
    assert (app["app"]["exec"][:2], app["app"]["user"], app["readOnlyRootFS"]) == (
        ["sh", "-c"],
        "65532",
        True,
    )
    assert app["app"]["environment"] == [{"name": "COLOR", "value": "blue"}]
    assert app["mounts"] == [{"volume": "volume-cache", "path": "/cache"}]
    assert [volume["kind"] for volume in pod["volumes"]] == ["empty"]
    assert "secret" not in manifest


def test_the_secret_is_shown_nowhere_and_exec_has_it(person: Person) -> None:
    pods.run_ok(person, "run", "--detach", "--mds", "--name", "quiet", "example.com/box:1", pods.READY)
    environment = pods.run_ok(person, "exec", "quiet", "sh", "-c", "echo $AC_METADATA_URL")
    secret = environment.strip().rpartition("/")[2]
    assert len(secret) == 64
    for command in (("ps", "--json"), ("status", "--json", "quiet"), ("logs", "quiet"), ("top", "quiet")):
        assert secret not in pods.run_ok(person, *command)
    assert pods.processes_with(secret) == []
    directory = person.home / "store" / "pods" / pods.status(person, "quiet")["id"]
    assert directory.stat().st_mode & 0o077 == 0
    assert (directory / "metadata.json").stat().st_uid == directory.stat().st_uid
    pods.run_ok(person, "rm", "--force", "quiet")
    pods.wait_for_end(f"runtime/metadata/relay/__main__.py {person.home}")


def test_a_killed_pod_leaves_no_relay(person: Person) -> None:
    pods.run_ok(person, "run", "--detach", "--mds", "--name", "victim", "example.com/box:1", pods.READY)
    pid = pods.find_supervisor(pods.status(person, "victim")["pid"])
    relays = pods.processes_with(f"runtime/metadata/relay/__main__.py {person.home}")
    assert len(relays) == 1
    end = os.pidfd_open(relays[0])
    os.kill(pid, signal.SIGKILL)
    assert select.select([end], [], [], 60)[0]
    os.close(end)
    pods.run_ok(person, "rm", "victim")


@pytest.mark.parametrize("network", ["host", "none", "private"])
def test_a_killed_relay_is_restarted(person: Person, network: str) -> None:
    if network == "private":
        networks.need_private_networks(person.name)
    options = ("--detach", "--mds", "--network", network, "--name", "victim")
    pods.run_ok(person, "run", *options, "example.com/box:1", pods.READY)
    uuid = pods.status(person, "victim")["id"]
    killed = set()
    for _ in range(3):
        assert pods.run_ok(person, "exec", "victim", "sh", "-c", f"{ASK}pod/uuid") == uuid
        (relay,) = pods.processes_with(f"runtime/metadata/relay/__main__.py {person.home}")
        assert relay not in killed
        killed.add(relay)
        os.kill(relay, signal.SIGKILL)
    # The sockets stay open, so this client waits instead of being refused.
    assert pods.run_ok(person, "exec", "victim", "sh", "-c", f"{ASK}pod/uuid") == uuid
    pods.run_ok(person, "rm", "--force", "victim")
    pods.wait_for_end(f"runtime/metadata/relay/__main__.py {person.home}")


def test_a_pod_that_cannot_start_leaves_nothing(person: Person) -> None:
    process = person.pumice("run", "--mds", "--entrypoint", "/nothing", "example.com/box:1")
    assert process.returncode == 127
    assert person.pumice("ps", "--all", "--quiet").stdout == ""
    pods.wait_for_end(f"runtime/metadata/relay/__main__.py {person.home}")


def test_a_key_file_that_cannot_be_used_fails_the_start(person: Person) -> None:
    keys = person.home / "store" / "metadata" / "keys.json"
    end_services(person)
    waiting.until(lambda: not (keys.parent / "socket").exists())
    keys.chmod(0o644)
    try:
        process = person.pumice("run", "--mds", "example.com/box:1", "true")
        assert process.returncode == 11
        assert "the metadata service does not start" in process.stderr
        process = person.pumice("metadata-service")
        assert process.returncode == 9
        assert "other users can read" in process.stderr
    finally:
        keys.chmod(0o600)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--listen", "x"),
        ("--listen", "203.0.113.77:1"),
        ("--idle-exit", "-1"),
        ("--idle-exit", "x"),
        ("extra",),
    ],
)
def test_mistakes_are_explained(person: Person, arguments: tuple[str, ...]) -> None:
    process = person.pumice("metadata-service", *arguments)
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("error: ")
    assert "Traceback" not in process.stderr


def test_slirp4netns_has_the_service_too(person: Person, machine: Machine) -> None:
    if person.name == "root":
        pytest.skip("root uses CNI")
    peers.need("slirp4netns")
    pasta = peers.need("pasta")
    machine.run("mount", "--bind", "/dev/null", pasta)
    try:
        output = run(person, "example.com/box:1", f"{ASK}pod/uuid; cat /proc/net/dev", network="private")
    finally:
        machine.run("umount", pasta)
    assert len(output.partition("Inter-")[0]) == 36
    assert "tap0:" in output


def test_a_full_disk_is_an_error(person: Person) -> None:
    """The limit of a file's size fails as a full disk does."""
    limited = ("prlimit", "--fsize=0:0", *person.command("metadata-service"))
    environment = person.environment({"PUMICE_HOME": str(person.home / "full")})
    process = subprocess.run(limited, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 9
    assert "the file would be larger than the limit" in process.stderr
    assert not (person.home / "full" / "metadata" / "keys.json").exists()
