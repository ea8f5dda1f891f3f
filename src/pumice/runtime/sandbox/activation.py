"""Sockets that listen before the program starts, and are passed to it (sd_listen_fds(3)).

This module is imported before the root changes, because an import would read the files of the image then.
"""

from __future__ import annotations

import fcntl  # noqa: F401 - see above
import os
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IPV6,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_STREAM,
    SOL_SOCKET,
    socket,
)

from pumice.runtime.sandbox.descriptors import FIRST_SOCKET, move_above_sockets
from pumice.runtime.sandbox.errors import SetupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options

_BACKLOG = 128


def open_sockets(options: Options) -> None:
    """Listen on the ports of the options that nobody listens on for us; raises SetupError."""
    for number, (name, protocol, text) in enumerate(options.listen):
        if protocol == "fd":
            descriptor = int(text)
        else:
            descriptor = _listen(protocol, int(text)).detach()
        moved = move_above_sockets(descriptor, len(options.listen))
        options.listen[number] = (name, "fd", str(moved))


def _listen(protocol: str, port: int) -> socket:
    kind = SOCK_DGRAM if protocol == "udp" else SOCK_STREAM
    try:
        try:
            listener = socket(AF_INET6, kind)
            listener.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
            address = "::"
        except OSError:  # a kernel without IPv6
            listener, address = socket(AF_INET, kind), ""
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind((address, port))
        if kind == SOCK_STREAM:
            listener.listen(_BACKLOG)
    except OSError as error:
        raise SetupError(
            f"cannot listen on the {protocol} port {port} for the program: {error.strerror}"
        ) from None
    return listener


def place_sockets(options: Options) -> int:
    """Move the sockets to where a program expects them, and tell it; return the next free descriptor.

    All other descriptors that stay open are moved out of the way.
    """
    for name in ("status_fd", "exec_fd", "seccomp_fd", "refused_calls"):
        descriptor = getattr(options, name)
        if descriptor > 2:
            setattr(options, name, move_above_sockets(descriptor, len(options.listen)))
    for number, (_, _, text) in enumerate(options.listen):
        os.dup2(int(text), FIRST_SOCKET + number)
        os.close(int(text))
    options.env["LISTEN_FDS"] = str(len(options.listen))
    options.env["LISTEN_PID"] = str(os.getpid())
    options.env["LISTEN_FDNAMES"] = ":".join(name for name, _, _ in options.listen)
    return FIRST_SOCKET + len(options.listen)
