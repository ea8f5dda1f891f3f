"""The sockets of an app that is socket-activated (aci.md, "ports"): those of a service manager, or new ones.

A service manager passes listening sockets to this process (sd_listen_fds(3)); each goes to the app whose
``socketActivated`` port has its protocol and number. The sandbox opens those that nobody passed.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.appc.app import App

_FIRST = 3
_MAX_SOCKETS = 100


def plan_sockets(app: App, environ: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    """Return for each socket of an app its name, and ``tcp``, ``udp`` or ``fd`` with a port or descriptor.

    Raises UsageError for too many ports, and for protocols without sockets.
    """
    ports = [port for port in app.ports if port.socket_activated]
    if not ports:
        return ()
    if sum(port.count for port in ports) > _MAX_SOCKETS:
        raise UsageError(f"the app has more than {_MAX_SOCKETS} socket-activated ports")
    passed = dict(_list_passed(environ))
    sockets = []
    for port in ports:
        if port.protocol not in ("tcp", "udp"):
            raise UsageError(
                f"the port {port.name!r} is activated by a socket, but {port.protocol[:20]!r} has none"
            )
        for number in range(port.port, port.port + port.count):
            descriptor = passed.get((port.protocol, number))
            if descriptor is None:
                sockets.append((port.name, port.protocol, str(number)))
            else:
                sockets.append((port.name, "fd", str(descriptor)))
    return tuple(sockets)


def _list_passed(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, int], int]]:
    """Yield the protocol and the port of each internet socket that was passed, with its descriptor."""
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not count.isascii() or not count.isdigit():
        return
    for descriptor in range(_FIRST, _FIRST + min(int(count), _MAX_SOCKETS)):
        try:
            passed = socket.socket(fileno=descriptor)
        except OSError:
            continue
        try:
            if passed.family in (socket.AF_INET, socket.AF_INET6):
                protocol = "udp" if passed.type == socket.SOCK_DGRAM else "tcp"
                yield (protocol, passed.getsockname()[1]), descriptor
        finally:
            passed.detach()
