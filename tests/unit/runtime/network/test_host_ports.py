"""Reserving ports of this machine."""

from __future__ import annotations

import socket

import pytest

from pumice.errors import SandboxError
from pumice.runtime.network import host_ports
from pumice.runtime.network.host_ports import PublishedPort, reserve
from pumice.runtime.network.port_options import PortRequest


def test_a_free_port_is_chosen_and_held() -> None:
    reservation = reserve([PortRequest(container=80, address="127.0.0.1")])
    try:
        (port,) = reservation.ports
        assert (port.container, port.is_chosen) == (80, True)
        request = PortRequest(container=81, address="127.0.0.1", candidates=(port.host,))
        with pytest.raises(
            SandboxError, match=f"cannot publish port {port.host}/tcp on 127.0.0.1: it is in use"
        ):
            reserve([request])
    finally:
        reservation.close()
    reserve([request]).close()


def test_the_first_free_port_of_a_range_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        candidates = (number, *(n for n in range(20000, 20050)))
        reservation = reserve([PortRequest(container=80, address="127.0.0.1", candidates=candidates)])
        reservation.close()
        assert reservation.ports[0].host != number


def test_a_failure_frees_the_ports_before_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        free = PortRequest(container=80, address="127.0.0.1", candidates=tuple(range(20100, 20150)))
        used = PortRequest(container=81, address="127.0.0.1", candidates=(other.getsockname()[1],))
        with pytest.raises(SandboxError, match="in use"):
            reserve([free, used])
        first = reserve([free])
        first.close()


def test_a_declared_port_moves_if_the_user_cannot_open_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_ports, "can_open", lambda number: number >= 1024)
    reservation = reserve([PortRequest(container=81, address="127.0.0.1", candidates=(81,), declared=True)])
    reservation.close()
    assert [str(port) for port in reservation.ports] == ["81/tcp -> 127.0.0.1:8081"]


def test_ports_are_shown_as_podman_shows_them() -> None:
    assert str(PublishedPort(container=80, host=8080)) == "80/tcp -> 0.0.0.0:8080"
    assert str(PublishedPort(container=80, host=1, address="::1", protocol="udp")) == "80/udp -> [::1]:1"
