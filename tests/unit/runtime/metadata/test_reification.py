"""The names of ports in the manifest of a pod as it runs."""

from __future__ import annotations

from typing import Any

from pumice.runtime.metadata.reification import describe_ports
from pumice.runtime.network.host_ports import PublishedPort

APPS: list[dict[str, Any]] = [
    {"app": {"ports": [{"name": "http", "protocol": "tcp", "port": 80}]}},
    {"app": {"ports": [{"name": "dns", "protocol": "udp", "port": 53}]}},
    {"app": {}},
]


def inside(name: str, port: int, protocol: str = "tcp") -> dict[str, object]:
    return {"name": name, "protocol": protocol, "port": port}


def test_ports_keep_the_names_of_the_manifest() -> None:
    ports = (
        PublishedPort(container=80, host=8080, name="http"),
        PublishedPort(container=81, host=8081, name="admin", inner_name="admin-web", address="127.0.0.1"),
        PublishedPort(container=82, host=8082, name="metrics", inner_name="metrics"),
    )
    assert describe_ports(ports, APPS) == [
        {"name": "http", "hostPort": 8080},
        {"name": "admin", "hostPort": 8081, "hostIP": "127.0.0.1", "podPort": inside("admin-web", 81)},
        {"name": "metrics", "hostPort": 8082, "podPort": inside("metrics", 82)},
    ]


def test_ports_without_a_name_have_that_of_an_app_or_of_their_number() -> None:
    ports = (
        PublishedPort(container=53, host=5353, protocol="udp"),
        PublishedPort(container=53, host=5354, protocol="udp"),
        PublishedPort(container=53, host=5355),
    )
    assert describe_ports(ports, APPS) == [
        {"name": "dns", "hostPort": 5353},
        {"name": "port-53-udp", "hostPort": 5354, "podPort": inside("port-53-udp", 53, "udp")},
        {"name": "port-53-tcp", "hostPort": 5355, "podPort": inside("port-53-tcp", 53)},
    ]


def test_names_differ_are_ac_names_and_mean_the_port_that_has_them() -> None:
    ports = (
        PublishedPort(container=8080, host=1, name="http"),  # an app calls another port so
        PublishedPort(container=80, host=2, name="http"),
        PublishedPort(container=443, host=3, name="HTTP.secure"),
    )
    assert describe_ports(ports, APPS) == [
        {"name": "http", "hostPort": 1, "podPort": inside("http", 8080)},
        {"name": "port-80-tcp", "hostPort": 2, "podPort": inside("port-80-tcp", 80)},
        {"name": "http-secure", "hostPort": 3, "podPort": inside("http-secure", 443)},
    ]
