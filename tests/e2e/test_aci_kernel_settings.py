"""The isolator for kernel settings: nothing of the host changes, whoever asks for it.

The value is one that the kernel refuses, so a program that starts proves that nobody tried to set it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import aci, people
from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

OPTIONS = ("--progress", "none", "--insecure-options=image")
LABELS = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
SETTINGS = ("kernel.panic", "vm.swappiness", "kernel/panic", "net.core.somaxconn", "net.x/../kernel.panic")
SYSCTL = {"name": "os/unix/sysctl", "value": dict.fromkeys(SETTINGS, "no number")}


@pytest.fixture(params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        yield someone


@pytest.fixture(params=["builtin", "bwrap", "runc", "crun", "fly"])
def stage1(request: pytest.FixtureRequest) -> str:
    if request.param not in ("builtin", "fly"):
        need(request.param)
    return str(request.param)


def test_an_image_changes_no_kernel_settings(person: Person, stage1: str) -> None:
    app = {"exec": ["echo", "ran"], "isolators": [SYSCTL]}
    aci.shell(person.home / "set.aci", app, name="example.com/set", labels=LABELS)
    person.give(person.home)
    options = (*OPTIONS, "--network", "host", "--stage1", stage1)
    result = person.pumice("run", *options, "aci:set.aci")
    assert (result.stdout, result.returncode) == ("ran\n", 0), result.stderr
    assert "warning: the isolator os/unix/sysctl is ignored: only a pod can have it" in result.stderr
    assert person.pumice("run", *options, "--strict", "aci:set.aci").returncode == 11


def test_a_pod_manifest_changes_no_kernel_settings_of_the_host(person: Person, stage1: str) -> None:
    image_id = aci.shell(person.home / "set.aci", {}, name="example.com/set", labels=LABELS)
    app = {"exec": ["echo", "ran"], "user": "0", "group": "0"}
    apps = [{"name": "a", "image": {"id": image_id}, "app": app}]
    manifest = {"acKind": "PodManifest", "acVersion": "0.8.11", "apps": apps, "isolators": [SYSCTL]}
    (person.home / "pod.json").write_text(json.dumps(manifest))
    person.give(person.home)
    options = (*OPTIONS, "--network", "host", "--stage1", stage1, "--aci", "set.aci")
    result = person.pumice("play", *options, "pod.json")
    assert (result.stdout, result.returncode) == ("a | ran\n", 0), result.stderr
    reasons = {
        "kernel.panic": "it is a setting of the whole machine",
        "vm.swappiness": "it is a setting of the whole machine",
        "kernel/panic": "it is not a setting",
        "net.core.somaxconn": "it would change the network of the host",
        "net.x/../kernel.panic": "it is not a setting",
    }
    for name, reason in reasons.items():
        assert f"warning: the kernel setting {name!r} is ignored: {reason}" in result.stderr
