"""Reading ``--network``, and what this machine can do."""

from __future__ import annotations

import os

import msgspec
import pytest

from pumice.errors import SandboxError, UsageError
from pumice.runtime.network import support
from pumice.runtime.network.port_options import parse_publish
from pumice.runtime.network.request import NetworkRequest, check_pod_name, parse_network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host", NetworkRequest(mode="host")),
        ("none", NetworkRequest(mode="none")),
        ("private", NetworkRequest(mode="private")),
        ("bridge", NetworkRequest(mode="private")),
        ("backend", NetworkRequest(mode="private", name="backend")),
        ("backend:IP=10.9.0.5", NetworkRequest(mode="private", name="backend", address="10.9.0.5")),
        ("private:ip=10.9.0.5", NetworkRequest(mode="private", address="10.9.0.5")),
    ],
)
def test_networks_are_read(text: str, expected: NetworkRequest) -> None:
    assert parse_network(text) == expected


@pytest.mark.parametrize("text", ["", "../x", "a/b", "host:ip=10.0.0.1", "x:mac=1", "x:ip=1", "é", "a" * 65])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_network(text)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a..b", "a\nb", "é", "a" * 64])
def test_names_of_pods_are_host_names(name: str) -> None:
    with pytest.raises(UsageError):
        check_pod_name(name)
    assert check_pod_name("db-1.example") == "db-1.example"


def test_without_programs_the_default_is_the_network_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "choose_driver", lambda environ: (None, "install passt"))
    auto = NetworkRequest()
    assert support.decide_mode(auto, {}) == ("host", None)
    published = msgspec.structs.replace(auto, publish=parse_publish("8080:80"))
    with pytest.raises(SandboxError) as caught:
        support.decide_mode(published, {})
    assert caught.value.hint == "install passt, or use --network host"


def test_ports_cannot_be_published_without_a_private_network() -> None:
    for mode in ("host", "none"):
        with pytest.raises(UsageError, match=f"--network {mode} has no ports to publish"):
            support.decide_mode(NetworkRequest(mode=mode, publish=parse_publish("80")), {})


def test_an_ordinary_user_needs_a_tun_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: path != "/dev/net/tun")
    driver, remedy = support.choose_driver({})
    assert driver is None
    assert "/dev/net/tun" in remedy
