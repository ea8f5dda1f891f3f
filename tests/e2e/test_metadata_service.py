"""Pods that ask who they are: in every kind of network, as every kind of user, with every stage 1."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.store.home import Home
from tests.support import images, networks, peers, people, pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.networks import Machine
    from tests.support.people import Person

ASK = "busybox wget -q -O - $AC_METADATA_URL/acMetadata/v1/"
FLAVOR = "--header 'Metadata-Flavor: AppContainer'"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with networks.machine() as made:
        yield made


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
    for pid in pods.processes_with(f"runtime/metadata/__main__.py\0{person.home}"):
        os.kill(pid, signal.SIGTERM)


def run(person: Person, *arguments: str, network: str = "host") -> str:
    return pods.run_ok(person, "run", "--progress", "none", "--network", network, "--mds", *arguments)


@pytest.mark.parametrize("network", ["host", "none", "private"])
def test_a_pod_learns_who_it_is_in_every_network(person: Person, network: str) -> None:
    if network == "private":
        if person.name == "root" and networks.plugins_are_missing():
            peers.absent("containernetworking-plugins is not installed")
        if person.name != "root":
            peers.need("pasta")
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
