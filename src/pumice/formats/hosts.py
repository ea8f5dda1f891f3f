"""Host names and addresses as they stand in URLs: which of them are this machine, or its own link.

Only the text is looked at; nothing is resolved. Who connects to a name can ask about the address that
it turned out to be (`is_local`).
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address


def is_loopback(host: str) -> bool:
    """Return whether a host (with or without a port) is this machine by its name alone.

    Strict: only what certainly is. A login may be sent to such a host without TLS.
    """
    name = _without_port(host)
    if name.lower() == "localhost" or name.lower().endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_local(host: str) -> bool:
    """Return whether a host (with or without a port) could be this machine or its link.

    Generous: also addresses that resolvers accept in unusual spellings (``127.1``, ``0x7f000001``), the
    unspecified address, which connects to this machine, and link-local ones, where clouds answer with the
    secrets of the machine that asks.
    """
    name = _without_port(host).rstrip(".")
    if is_loopback(name):
        return True
    address = _address(name)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return address is not None and (address.is_loopback or address.is_link_local or address.is_unspecified)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(name)) if name.isascii() and " " not in name else None
    except (OSError, ValueError):
        return None


def _without_port(host: str) -> str:
    """Return a host without its port; an IPv6 address may stand in brackets or, without a port, bare."""
    if host.startswith("[") and "]" in host:
        return host[1 : host.index("]")]
    return host if host.count(":") > 1 else host.partition(":")[0]
