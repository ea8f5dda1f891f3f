"""What ``port`` and ``inspect`` show of published ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pumice.runtime.network.host_ports import PublishedPort


class ListedPort(msgspec.Struct, frozen=True, kw_only=True):
    """A published port: ``host_port`` at ``host_ip`` leads to ``container_port``.

    ``host_ip`` is ``0.0.0.0`` for all addresses of this machine.
    """

    container_port: int
    protocol: str
    host_ip: str
    host_port: int


def describe_port(port: PublishedPort) -> ListedPort:
    """Return what is shown of a published port."""
    return ListedPort(
        container_port=port.container,
        protocol=port.protocol,
        host_ip=port.shown_address,
        host_port=port.host,
    )


def format_port(port: ListedPort, *, is_address_only: bool = False) -> str:
    """Return a published port as ``80/tcp -> 0.0.0.0:8080``, or only where it is reachable."""
    address = f"[{port.host_ip}]" if ":" in port.host_ip else port.host_ip
    target = f"{address}:{port.host_port}"
    return target if is_address_only else f"{port.container_port}/{port.protocol} -> {target}"
