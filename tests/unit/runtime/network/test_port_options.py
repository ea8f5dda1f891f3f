"""Reading ``--publish``, ``--expose`` and the ports of an image."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import ImageError, UsageError
from pumice.runtime.network.port_options import (
    ExposedPort,
    PortRequest,
    declared_ports,
    parse_exposed,
    parse_publish,
    plan_ports,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [PortRequest(container=80)]),
        ("8080:80", [PortRequest(container=80, candidates=(8080,))]),
        ("8080:80/udp", [PortRequest(container=80, candidates=(8080,), protocol="udp")]),
        ("8080:80/TCP", [PortRequest(container=80, candidates=(8080,))]),
        (":80", [PortRequest(container=80)]),
        ("127.0.0.1:8080:80", [PortRequest(container=80, candidates=(8080,), address="127.0.0.1")]),
        ("127.0.0.1::80", [PortRequest(container=80, address="127.0.0.1")]),
        ("0.0.0.0:8080:80", [PortRequest(container=80, candidates=(8080,))]),
        ("[::1]:8080:80", [PortRequest(container=80, candidates=(8080,), address="::1")]),
        ("8080-8082:80", [PortRequest(container=80, candidates=(8080, 8081, 8082))]),
        (
            "8080-8081:80-81",
            [PortRequest(container=80, candidates=(8080,)), PortRequest(container=81, candidates=(8081,))],
        ),
    ],
)
def test_publish_is_read_as_podman_reads_it(text: str, expected: list[PortRequest]) -> None:
    assert list(parse_publish(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0",
        "65536",
        "80:",
        "80/sctp",
        "1.2.3:80:80",
        "8-9:1-3",
        "9-8:80",
        "[::1:80:80",
        "1:2:3:4",
        "٨",
        "-1",
    ],
)
def test_invalid_ports_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_publish(text)


@given(st.text(alphabet="0123456789:-[]./tcpudp", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        ports = parse_publish(text)
    except UsageError:
        return
    assert 0 < len(ports) <= 1000
    assert all(0 < port.container < 65536 for port in ports)


def test_exposed_ports_may_be_ranges() -> None:
    assert parse_exposed("80-81/udp") == (ExposedPort(80, "udp"), ExposedPort(81, "udp"))


def test_declared_ports_of_an_image_are_checked() -> None:
    assert declared_ports(["443/tcp", "80"]) == (ExposedPort(443), ExposedPort(80))
    with pytest.raises(ImageError, match="declares an invalid port"):
        declared_ports(["80/\x1b[31m"])
    with pytest.raises(ImageError, match="more than 1000"):
        declared_ports(["1-900", "1000-1900"])


def test_a_published_port_replaces_the_declared_one() -> None:
    requests = parse_publish("8080:80")
    exposed = (ExposedPort(80), ExposedPort(443))
    assert plan_ports(requests, exposed, publish_all=False) == (
        *requests,
        PortRequest(container=443, candidates=(443,), declared=True),
    )
    assert plan_ports((), exposed, publish_all=True) == (
        PortRequest(container=80),
        PortRequest(container=443),
    )
