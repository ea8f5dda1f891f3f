"""The network namespace of a container, which another process connects to the world."""

from __future__ import annotations

import os

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.syscalls import CLONE_NEWNET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options

_FIRST_UNPRIVILEGED_PORT = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def namespace_flag(options: Options) -> int:
    """Return the flag of unshare(2) for a network of its own, 0 if the container uses that of its caller."""
    return CLONE_NEWNET if options.network != "host" else 0


def announce_namespace(options: Options) -> None:
    """Prepare the network namespace of this process, and send this process's id to who connects it.

    Every user may listen on every port in it.
    """
    if options.network == "host":
        return
    syscalls.raise_loopback()
    try:
        with open(_FIRST_UNPRIVILEGED_PORT, "w") as file:
            file.write("0")
    except OSError:  # /proc/sys is read-only in many containers
        pass
    if options.network_fd >= 0:
        os.write(options.network_fd, b"%d\n" % os.getpid())


def wait_for_network(options: Options) -> None:
    """Wait until the caller has connected the network; end this process if it could not."""
    if options.network_fd >= 0:
        if not os.read(options.network_fd, 1):
            os._exit(1)
        os.close(options.network_fd)
