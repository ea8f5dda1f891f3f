"""Reserving ports of this machine, so that a port that is taken is an error before anything starts."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.runtime.network.port_options import PortRequest, Protocol

_FIRST_UNPRIVILEGED = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
EVERY_IPV4_ADDRESS = "0.0.0.0"  # noqa: S104 - ports are published for everyone, unless the user says otherwise
_ATTEMPTS = 50
_SHIFT = 8000
"""Added to a declared port below 1024 that this user cannot open: 80 becomes 8080, and 443 becomes 8443."""


class PublishedPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the pod that is reachable at ``host`` on ``address`` of this machine (empty: all).

    ``is_chosen`` means that ``host`` was not the only port that the request allows. The names are those of
    the request.
    """

    container: int
    host: int
    protocol: Protocol = "tcp"
    address: str = ""
    is_chosen: bool = False
    name: str = ""
    inner_name: str = ""

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.shown_address
        return f"{self.container}/{self.protocol} -> {address}:{self.host}"

    @property
    def shown_address(self) -> str:
        """The address, 0.0.0.0 for all, as podman shows it."""
        return self.address or EVERY_IPV4_ADDRESS


class Reservation(msgspec.Struct):
    """Published ports with the sockets that hold them."""

    ports: tuple[PublishedPort, ...]
    sockets: tuple[tuple[socket.socket, PublishedPort], ...]

    def close(self) -> None:
        """Close the sockets of this process."""
        for held_socket, _ in self.sockets:
            held_socket.close()


def reserve(requests: Iterable[PortRequest]) -> Reservation:
    """Choose a port of this machine for each request, and hold it; raises SandboxError naming the port.

    TCP sockets listen, and nobody may listen there as well; UDP sockets are only bound.
    """
    ports: list[PublishedPort] = []
    sockets: list[tuple[socket.socket, PublishedPort]] = []
    try:
        for request in requests:
            port, held_sockets = _reserve_one(request)
            ports.append(port)
            sockets += [(held_socket, port) for held_socket in held_sockets]
    except BaseException:
        for held_socket, _ in sockets:
            held_socket.close()
        raise
    return Reservation(tuple(ports), tuple(sockets))


def _reserve_one(request: PortRequest) -> tuple[PublishedPort, list[socket.socket]]:
    failure = OSError(errno.EADDRINUSE, "no candidate")
    for candidate in _candidates(request):
        try:
            number, sockets = _bind(request, candidate)
        except OSError as error:
            failure = error
            continue
        port = PublishedPort(
            container=request.container,
            host=number,
            protocol=request.protocol,
            address=request.address,
            is_chosen=request.candidates != (number,),
            name=request.name,
            inner_name=request.inner_name,
        )
        return port, sockets
    raise _explain(request, failure)


def _candidates(request: PortRequest) -> Iterator[int]:
    """Yield the ports to try; 0 is any free one."""
    if not request.candidates:
        yield from [0] * _ATTEMPTS
    for number in request.candidates:
        if request.declared and not can_open(number):
            yield number + _SHIFT
        else:
            yield number


def can_open(number: int) -> bool:
    """Return whether this user may listen on a port of this machine."""
    if os.geteuid() == 0:
        return True
    with suppress(OSError, ValueError):
        return number >= int(Path(_FIRST_UNPRIVILEGED).read_text())
    return number >= 1024


def _bind(request: PortRequest, number: int) -> tuple[int, list[socket.socket]]:
    """Bind ``number`` on the addresses of a request; return the number and the sockets; raises OSError."""
    kind = socket.SOCK_STREAM if request.protocol == "tcp" else socket.SOCK_DGRAM
    sockets: list[socket.socket] = []
    try:
        for family, address in _addresses(request.address):
            try:
                held_socket = socket.socket(family, kind)
            except OSError:
                if family == socket.AF_INET6 and not request.address:
                    continue  # this machine has no IPv6
                raise
            sockets.append(held_socket)
            if family == socket.AF_INET6:
                held_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if request.protocol == "tcp":  # as every server does, because of connections that have ended
                held_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held_socket.bind((address, number))
            if request.protocol == "tcp":
                held_socket.listen(128)
            number = held_socket.getsockname()[1]
    except BaseException:
        for held_socket in sockets:
            held_socket.close()
        raise
    return number, sockets


def _addresses(address: str) -> tuple[tuple[socket.AddressFamily, str], ...]:
    if not address:
        return (socket.AF_INET, EVERY_IPV4_ADDRESS), (socket.AF_INET6, "::")
    return ((socket.AF_INET6 if ":" in address else socket.AF_INET, address),)


def _explain(request: PortRequest, error: OSError) -> SandboxError:
    numbers = request.candidates
    port_range = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else f"{numbers[0] if numbers else 'any'}"
    where = f" on {request.address}" if request.address else ""
    subject = f"cannot publish port {port_range}/{request.protocol}{where}"
    if error.errno == errno.EADDRINUSE:
        first = numbers[0] if numbers else request.container
        return SandboxError(
            f"{subject}: it is in use",
            hint=f"use another port of this machine with --publish {_suggest_port(first)}:"
            f"{request.container}, the"
            f" next free one with --publish {first}-{min(first + 99, 65535)}:{request.container},"
            " or --network none",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return SandboxError(
            f"{subject}: an ordinary user cannot open it",
            hint=f"use a port above 1023, such as --publish {_suggest_port(request.container)}:"
            f"{request.container}",
        )
    return SandboxError(f"{subject}: {(error.strerror or str(error)).lower()}")


def _suggest_port(number: int) -> int:
    return number + _SHIFT if number < 1024 else min(number + 1, 65535)
