"""The hosts and the resolver configuration of a pod."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network import name_resolution
from pumice.runtime.network.name_resolution import write_hosts_base, write_resolver


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(name_resolution, "_HOSTS", tmp_path / "machine-hosts")
    monkeypatch.setattr(name_resolution, "_RESOLVER", tmp_path / "machine-resolv")
    monkeypatch.setattr(name_resolution, "_SYSTEMD_RESOLVER", tmp_path / "machine-systemd")
    (tmp_path / "pod").mkdir()
    return tmp_path


def test_loopback_lines_of_the_machine_are_left_out(machine: Path) -> None:
    (machine / "machine-hosts").write_text(
        "127.0.1.1 laptop\n::1 laptop\n10.1.1.1 nas nas.example # disk\nbad\n"
    )
    write_hosts_base(
        machine / "pod", "web", NameResolution(hosts=(("10.2.2.2", "added"),)), has_address=False
    )
    lines = (machine / "pod/hosts").read_text().splitlines()
    assert (lines[0], lines[3:]) == ("10.2.2.2\tadded", ["10.1.1.1\tnas\tnas.example", "127.0.1.1\tweb"])


def test_reachable_nameservers_are_kept(machine: Path) -> None:
    (machine / "machine-resolv").write_text("search example\nnameserver 10.0.0.1\nnameserver 127.0.0.1\n")
    assert write_resolver(machine / "pod", "cni", NameResolution()) == ""
    assert (machine / "pod/resolv.conf").read_text() == "search example\nnameserver 10.0.0.1\n"


def test_a_resolver_on_the_loopback_is_replaced(machine: Path) -> None:
    (machine / "machine-resolv").write_text("nameserver 127.0.0.53\n")
    assert write_resolver(machine / "pod", "pasta", NameResolution()) == "169.254.1.1"
    assert write_resolver(machine / "pod", "slirp4netns", NameResolution()) == "10.0.2.3"
    (machine / "machine-systemd").write_text("nameserver 192.0.2.7\n")
    assert write_resolver(machine / "pod", "cni", NameResolution()) == ""
    assert (machine / "pod/resolv.conf").read_text() == "nameserver 192.0.2.7\n"


def test_a_machine_without_these_files_is_fine(machine: Path) -> None:
    assert write_resolver(machine / "pod", "cni", NameResolution()) == ""
    write_hosts_base(machine / "pod", "web", NameResolution(hosts=(("10.2.2.2", "added"),)), has_address=True)
    assert (machine / "pod/resolv.conf").read_text() == ""


def test_nameservers_of_the_user_are_kept(machine: Path) -> None:
    (machine / "machine-resolv").write_text("nameserver 10.0.0.1\n")
    assert write_resolver(machine / "pod", "slirp4netns", NameResolution(servers=("127.0.0.1",))) == ""
    assert "nameserver 127.0.0.1\n" in (machine / "pod/resolv.conf").read_text()
    assert "10.0.0.1" not in (machine / "pod/resolv.conf").read_text()
