"""The networks that files define, and the one that Pumice defines itself."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import pytest

from pumice.errors import FormatError
from pumice.runtime.network import configurations
from pumice.runtime.network.configurations import find_network, read_configuration


def subnet_of(path: Path) -> ipaddress.IPv4Network:
    document = json.loads(path.read_bytes())
    return ipaddress.IPv4Network(document["plugins"][0]["ipam"]["ranges"][0][0]["subnet"])


def test_a_network_is_created_once(tmp_path: Path) -> None:
    first = find_network("default", tmp_path)
    assert [plugin["type"] for plugin in first.plugins] == ["bridge", "portmap", "firewall"]
    assert find_network("default", tmp_path) == first
    assert find_network("other", tmp_path).plugins[0]["bridge"] != first.plugins[0]["bridge"]


def test_a_subnet_that_this_machine_uses_is_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_network("default", tmp_path)
    used = subnet_of(tmp_path / "net.d/default.conflist")
    (tmp_path / "net.d/default.conflist").unlink()
    monkeypatch.setattr(configurations, "_routes", lambda: iter([used]))
    find_network("default", tmp_path)
    assert not subnet_of(tmp_path / "net.d/default.conflist").overlaps(used)


def test_the_subnets_of_other_programs_are_avoided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"name": "theirs", "plugins": [{"type": "bridge", "ipam": {"subnet": "10.96.0.0/12"}}]}
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/x.conflist").write_text(json.dumps(document))
    monkeypatch.setattr(configurations, "_OTHER_DIRECTORIES", (tmp_path / "theirs",))
    with pytest.raises(Exception, match=r"every subnet of 10\.96\.0\.0/12 is in use"):
        find_network("default", tmp_path)


def test_a_file_defines_a_network(tmp_path: Path) -> None:
    (tmp_path / "net.d").mkdir()
    document = {"cniVersion": "1.0.0", "name": "lan", "type": "macvlan", "master": "eth0"}
    (tmp_path / "net.d/10-lan.conf").write_text(json.dumps(document))
    network = find_network("lan", tmp_path)
    assert (network.version, network.plugins) == ("1.0.0", (document,))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"name": 1}', '{"name": "x", "plugins": []}', '{"name": "x", "type": "../sh"}', "\0"],
)
def test_an_invalid_file_is_an_error_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.conflist"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        read_configuration(path)
    assert caught.value.where == str(path)
