"""Addresses in private networks, by which peers behind one NAT reach each other."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network

_NETWORKS = tuple(
    IPv4Network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
"""The networks behind NATs (RFC 1918, RFC 6598)."""
_ANY_ADDRESS = ("192.0.2.1", 9)
"""An address and port that nothing is sent to (RFC 5737): connecting only chooses a route."""


def is_private_address(text: str) -> bool:
    """Return whether a text is an IPv4 address in a network behind a NAT."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return False
    return any(address in network for network in _NETWORKS)


def find_private_address() -> str:
    """Return the address of this machine in its private network, "" if it has none, or a public one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_ANY_ADDRESS)
        except OSError:
            return ""
        address: str = probe.getsockname()[0]
    return address if is_private_address(address) else ""
