"""Host names and addresses in URLs: whether they refer to this machine or its local link.

Only the text is examined; names are not resolved. After connecting, check the actual address with
`is_local`.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_IPV4_SUFFIXES = (IPv6Network("64:ff9b::/96"), IPv6Network("::ffff:0:0:0/96"), IPv6Network("::/96"))
"""Networks whose addresses end with one of IPv4: NAT64 (RFC 6052), SIIT (RFC 2765), IPv4-compatible."""
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
"""The prefixes of networks that translate on their own (RFC 8215), where Python versions differ."""


def is_loopback(host: str) -> bool:
    """Return whether a host (with or without a port) certainly is this machine (RFC 6761, 6.3).

    Credentials may be sent to such a host without TLS.
    """
    name = _strip_port(host)
    if name.lower() == "localhost" or name.lower().endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def is_local(host: str) -> bool:
    """Return whether a host (with or without a port) may be this machine or a link-local address.

    This includes unusual spellings of addresses that resolvers accept (``127.1``, ``0x7f000001``), the
    unspecified address, which connects to this machine, and link-local addresses, where clouds serve the
    credentials of a machine.
    """
    name = _strip_port(host).rstrip(".")
    if is_loopback(name):
        return True
    address = _parse_address(name)
    return address is not None and (address.is_loopback or address.is_link_local or address.is_unspecified)


def is_private(host: str) -> bool:
    """Return whether a host (with or without a port) is an address that is not of the public Internet.

    These are the addresses of `is_local`, and those of private networks, also as IPv4 within IPv6.
    """
    address = _parse_address(_strip_port(host).rstrip("."))
    if isinstance(address, IPv6Address) and (address.is_site_local or address in _LOCAL_NAT64):
        return True
    return is_local(host) or (address is not None and not address.is_global)


def _parse_address(name: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a name is, that of IPv4 for one of IPv6 which leads to it."""
    try:
        address = ip_address(name)
    except ValueError:
        pass
    else:
        return _find_embedded(address) or address if isinstance(address, IPv6Address) else address
    try:
        return IPv4Address(socket.inet_aton(name)) if name.isascii() and " " not in name else None
    except (OSError, ValueError):
        return None


def _strip_port(host: str) -> str:
    """Return a host without its port; an IPv6 address with a port must be in brackets."""
    if host.startswith("[") and "]" in host:
        return host[1 : host.index("]")]
    return host if host.count(":") > 1 else host.partition(":")[0]


def _find_embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the address of IPv4 in one of IPv6, None if it has none."""
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.is_loopback or address.is_unspecified or not any(address in net for net in _IPV4_SUFFIXES):
        return None
    return IPv4Address(int(address) & 0xFFFFFFFF)
