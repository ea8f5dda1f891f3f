"""Several hosts: pages on one, images on another, an image that depends on another publisher's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import networks, tls, waiting, websites
from tests.support.networks import Machine
from tests.support.publishers import Out, read_fingerprint, run, write_image

ADDRESSES = {
    "names.example": "8.8.8.10",
    "cdn.example": "8.8.8.20",
    "other.example": "8.8.8.30",
    "evil.example": "8.8.8.40",
    "inside.example": "10.9.8.7",
}
"""Addresses of the public Internet, and one of a private network: nothing leaves the namespaces."""


class World:
    """A machine without other networks than the neighbor that has all hosts."""

    def __init__(self, machine: Machine, folder: Path, log: Path) -> None:
        self.machine = machine
        self.folder = folder
        self.log = log

    def pumice(self, *arguments: str, code: int = 0) -> str:
        """Run a command on the machine, and return what it prints."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PUMICE_HOME": str(self.folder / "user"),
        }
        variables = (f"{name}={value}" for name, value in environment.items())
        command = (*self.machine.prefix, "env", "-i", *variables, sys.executable, "-m", "pumice")
        process = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert process.returncode == code, process.stderr
        return process.stdout + process.stderr


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "secret")
    for name in ("names", "other"):
        run(capsys, "key", "generate", "--openpgp", f"{name} <a@{name}.example>", "--output", name)
    base = write_image(tmp_path / "base.aci", "other.example/base", "1.0")
    dependency = {"imageName": "other.example/base", "imageID": base}
    write_image(tmp_path / "app.aci", "names.example/app", "1.0", dependencies=[dependency])
    write_image(
        tmp_path / "led.aci", "names.example/led", "1.0", dependencies=[{"imageName": "inside.example/a"}]
    )
    publish = ("publish", "--appc")
    cdn = ("--url", "https://cdn.example", "--key", "names.key")
    run(capsys, *publish, "names-www", *cdn, "aci:app.aci", "aci:led.aci")
    run(capsys, *publish, "other-www", "--url", "https://other.example", "--key", "other.key", "aci:base.aci")
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "index.html").write_text(
        '<head><meta name="ac-discovery" content="evil.example https://inside.example/{name}.{ext}">'
        '<meta name="ac-discovery-pubkeys" content="evil.example https://inside.example/keys.asc"></head>'
    )
    roots = {"names": "names-www", "cdn": "names-www", "other": "other-www", "evil": "evil", "inside": "evil"}
    certificate = tls.self_signed(tmp_path, hosts=list(ADDRESSES))
    hosts = tmp_path / "hosts"
    hosts.write_text("".join(f"{address} {host}\n" for host, address in ADDRESSES.items()))
    with networks.machine() as machine:
        machine.run("mount", "--bind", str(hosts), "/etc/hosts")
        for address in ADDRESSES.values():
            machine.run_beside("ip", "address", "add", f"{address}/32", "dev", "up1")
        served = {ADDRESSES[f"{host}.example"]: tmp_path / root for host, root in roots.items()}
        with websites.serving_hosts(served, tmp_path / "nginx", certificate, machine.prefix_beside) as log:
            machine.run("curl", "--retry", "50", "--retry-connrefused", "-sk", "https://inside.example/")
            yield World(machine, tmp_path, log)


def test_an_image_of_one_host_depends_on_an_image_of_another(world: World, capsys: Out) -> None:
    ca = ("--ca", str(world.folder / "server.crt"))
    trust = ("trust", "add", *ca, "--fingerprint")
    world.pumice(*trust, read_fingerprint("names.pub"), "--prefix", "names.example")
    refused = world.pumice("fetch", *ca, "names.example/app:1.0", code=7)
    assert "no OpenPGP key is trusted for other.example/base" in refused
    world.pumice(*trust, read_fingerprint("other.pub"), "--prefix", "other.example/base")
    assert "names.example/app:1.0" in world.pumice("fetch", *ca, "names.example/app:1.0")
    discovered = world.pumice("discover", *ca, "names.example/app:1.0")
    assert "https://cdn.example/aci/names.example/app-1.0-linux-amd64.aci" in discovered


def test_a_public_host_cannot_lead_into_a_private_network(world: World) -> None:
    ca = ("--ca", str(world.folder / "server.crt"))
    before = len(world.log.read_text().splitlines())
    fetched = world.pumice("fetch", *ca, "evil.example/app:1.0", "--allow-unsigned", code=6)
    assert "refusing to connect to a private address" in fetched
    fingerprint = read_fingerprint("names.pub")
    keys = ("trust", "add", *ca, "--prefix", "evil.example", "--fingerprint", fingerprint)
    assert "refusing to connect to a private address" in world.pumice(*keys, code=6)
    expected = {"/app?ac-discovery=1", "/?ac-discovery=1"}
    assert _requested_paths(world.log, before, expected) == expected


def test_an_image_of_a_public_host_cannot_depend_on_one_of_a_private_network(world: World) -> None:
    ca = ("--ca", str(world.folder / "server.crt"))
    trust = ("trust", "add", *ca, "--prefix", "names.example", "--fingerprint")
    world.pumice(*trust, read_fingerprint("names.pub"))
    before = len(world.log.read_text().splitlines())
    fetched = world.pumice("fetch", *ca, "names.example/led:1.0", code=6)
    assert "https://inside.example/a: refusing to connect to a private address" in fetched
    image = "/aci/names.example/led-1.0-linux-amd64.aci"
    assert not any(path.startswith("/a?") for path in _requested_paths(world.log, before, {image}))


def _requested_paths(log: Path, before: int, expected: set[str]) -> set[str]:
    """Return what was requested since a log had ``before`` lines; nginx writes a line after its answer."""

    def read_paths() -> set[str]:
        lines = log.read_text().splitlines()[before:]
        return {line.split('"')[1].split()[1] for line in lines if line.count('"') > 1}

    waiting.until(lambda: read_paths() >= expected, read_paths)
    return read_paths()
