"""A program that enters the network of another process and passes a TCP socket from there.

    python3 -I -S network_helper.py PID DESCRIPTOR

The socket is sent over the Unix socket at DESCRIPTOR. Only the standard library is imported.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import sys

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NS_GET_USERNS = 0xB701  # ioctl_ns(2): the user namespace that owns a namespace


def main(process: str, descriptor: int) -> None:
    """Enter the namespaces, and send a socket."""
    network = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
    user = fcntl.ioctl(network, _NS_GET_USERNS)
    if not os.path.sameopenfile(user, os.open("/proc/self/ns/user", os.O_RDONLY)):
        _enter(user, _CLONE_NEWUSER)
    _enter(network, _CLONE_NEWNET)
    with (
        socket.socket(fileno=descriptor) as channel,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as endpoint,
    ):
        socket.send_fds(channel, [b"."], [endpoint.fileno()])


def _enter(namespace: int, kind: int) -> None:
    # os.setns came with Python 3.12.
    if ctypes.CDLL(None, use_errno=True).setns(namespace, kind):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
