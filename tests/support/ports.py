"""Ports of this machine for servers that choose none themselves and take over no socket."""

from __future__ import annotations

import secrets
import socket
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST, _LAST = 20000, 32000
"""The kernel gives higher ports to clients, and to servers that ask for any port."""


@contextmanager
def reserve(count: int = 1) -> Iterator[int]:
    """Yield the first of ``count`` ports that nobody uses and that no other test gets meanwhile."""
    with ExitStack() as stack:
        yield _hold_ports(stack, count)


def _hold_ports(stack: ExitStack, count: int) -> int:
    start = _FIRST + secrets.randbelow(_LAST - _FIRST)
    for first in (*range(start, _LAST), *range(_FIRST, start)):
        ports = range(first, first + count)
        with suppress(OSError), ExitStack() as locks:
            for port in ports:
                # The kernel releases this name when the process ends, however that happens.
                lock = locks.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                lock.bind(f"\0pumice-test-port-{port}")
            if all(map(_is_free, ports)):
                stack.push(locks.pop_all())
                return int(first)
    raise AssertionError("all ports of this machine are in use")


def _is_free(port: int) -> bool:
    try:
        with (
            socket.create_server(("127.0.0.1", port)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        ):
            datagrams.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True
