"""The ports that a pod opens: what ``--publish``, ``--expose`` and the config of an image ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Protocol = Literal["tcp", "udp"]
_PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")
_HINT = "write [ADDRESS:][HOST:]CONTAINER[/tcp|/udp], such as 8080:80 or 127.0.0.1:8080-8089:80"
_MAX_PORTS = 1000


class PortRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the pod that is to be reachable on this machine.

    ``candidates`` are the ports of this machine to try, in order; without any, a free one is chosen.
    ``address`` is the address of this machine, empty for all. ``declared`` means that the image asks for it,
    and the user does not. A file can give it a ``name``, and another one, ``inner_name``, in the pod.
    """

    container: int
    protocol: Protocol = "tcp"
    address: str = ""
    candidates: tuple[int, ...] = ()
    declared: bool = False
    name: str = ""
    inner_name: str = ""


class ExposedPort(msgspec.Struct, frozen=True):
    """A port on which the program listens."""

    number: int
    protocol: Protocol = "tcp"


def parse_publish(text: str) -> tuple[PortRequest, ...]:
    """Return the ports of a ``--publish`` option; raises UsageError.

    A range on both sides publishes one port for each; a range of this machine for one port of the pod
    publishes it on the first of them that is free. Without a port of this machine, any free one is taken.
    """
    ports, protocol = _split_protocol(text)
    address, ports = _split_address(ports, text)
    host_text, colon, container_text = ports.rpartition(":")
    container = _parse_range(container_text, text)
    if not colon or not host_text:
        return tuple(PortRequest(container=port, protocol=protocol, address=address) for port in container)
    host = _parse_range(host_text, text)
    if len(container) == 1:
        return (
            PortRequest(container=container[0], protocol=protocol, address=address, candidates=tuple(host)),
        )
    if len(host) != len(container):
        raise UsageError(f"the ranges of {text[:100]!r} differ in length", hint=_HINT)
    return tuple(
        PortRequest(container=inside, protocol=protocol, address=address, candidates=(outside,))
        for outside, inside in zip(host, container, strict=True)
    )


def _split_protocol(text: str) -> tuple[str, Protocol]:
    ports, _, name = text.partition("/")
    for protocol in _PROTOCOLS:
        if name.lower() in (protocol, "" if protocol == "tcp" else protocol):
            return ports, protocol
    raise UsageError(f"cannot publish {text[:100]!r}: the protocol is not tcp or udp", hint=_HINT)


def _split_address(ports: str, text: str) -> tuple[str, str]:
    """Return the address of this machine (empty for all), and what follows it."""
    import ipaddress

    if ports.startswith("["):
        address, bracket, rest = ports[1:].partition("]:")
        if not bracket:
            raise UsageError(f"{text[:100]!r} is not a port", hint=_HINT)
    elif ports.count(":") == 2:
        address, _, rest = ports.partition(":")
    else:
        return "", ports
    try:
        parsed_address = ipaddress.ip_address(address)
    except ValueError:
        raise UsageError(f"{address[:60]!r} in {text[:100]!r} is not an IP address", hint=_HINT) from None
    if parsed_address == ipaddress.IPv4Address(0):
        return "", rest
    return str(parsed_address), rest


def _parse_range(range_text: str, text: str) -> range:
    first_text, dash, last_text = range_text.partition("-")
    first = _parse_port(first_text, text)
    last = _parse_port(last_text, text) if dash else first
    if last < first or last - first >= _MAX_PORTS:
        raise UsageError(f"{range_text[:40]!r} in {text[:100]!r} is not a range of ports", hint=_HINT)
    return range(first, last + 1)


def _parse_port(digits: str, text: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 1 <= int(digits) <= 65535):
        raise UsageError(f"{digits[:40]!r} in {text[:100]!r} is not a port number", hint=_HINT)
    return int(digits)


def parse_exposed(text: str) -> tuple[ExposedPort, ...]:
    """Return the ports of an ``--expose`` option or of a config's ``ExposedPorts``; raises UsageError."""
    ports, protocol = _split_protocol(text)
    return tuple(ExposedPort(number, protocol) for number in _parse_range(ports, text))


def declared_ports(exposed: Iterable[str]) -> tuple[ExposedPort, ...]:
    """Return the ports that the config of an image declares; raises ImageError for an invalid one."""
    ports: list[ExposedPort] = []
    for text in sorted(exposed):
        try:
            ports += parse_exposed(text)
        except UsageError as error:
            raise ImageError(f"the image declares an invalid port: {error.message}") from None
        if len(ports) > _MAX_PORTS:
            raise ImageError(f"the image declares more than {_MAX_PORTS} ports")
    return tuple(dict.fromkeys(ports))


def plan_ports(
    requests: Iterable[PortRequest], exposed: Iterable[ExposedPort], *, publish_all: bool
) -> tuple[PortRequest, ...]:
    """Return what to publish: the requests, and each exposed port that they do not mention.

    An exposed port is published on the same port of this machine; with ``publish_all``, on any free one.
    """
    requested = tuple(requests)
    mentioned = {(request.container, request.protocol) for request in requested}
    return (*requested, *_exposed_requests(exposed, mentioned, publish_all=publish_all))


def _exposed_requests(
    exposed: Iterable[ExposedPort], mentioned: set[tuple[int, Protocol]], *, publish_all: bool
) -> Iterator[PortRequest]:
    for port in exposed:
        if (port.number, port.protocol) not in mentioned:
            yield PortRequest(
                container=port.number,
                protocol=port.protocol,
                candidates=() if publish_all else (port.number,),
                declared=not publish_all,
            )
