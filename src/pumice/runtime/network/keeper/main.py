"""The keeper's entry point: ``DIRECTORY END [DESCRIPTOR:PORT …]``.

``DIRECTORY`` is the attachment, whose lock this process inherits; ``END`` is a descriptor that becomes
readable when the pod has ended; each further argument is a listening socket and the port of the pod.
"""

from __future__ import annotations

import os
import signal
import sys

from pumice.runtime.network.keeper import records
from pumice.runtime.network.keeper.release import release

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_IGNORED_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)


def main(arguments: Sequence[str]) -> None:
    """Wait for the end of the pod, forward connections until then, and release its network."""
    for number in _IGNORED_SIGNALS:  # a service manager sends them to every process of the pod
        signal.signal(number, signal.SIG_IGN)
    directory, end = arguments[0], int(arguments[1])
    listeners = {}
    for argument in arguments[2:]:
        listener, _, port = argument.partition(":")
        listeners[int(listener)] = int(port)
    _wait(directory, end, listeners)
    for descriptor in listeners:
        os.close(descriptor)
    release(directory)
    sys.exit(0)


def _wait(directory: str, end: int, listeners: dict[int, int]) -> None:
    if not listeners:
        import select

        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.poll()
        return
    import socket

    from pumice.runtime.network.keeper.relay import Relay

    def connect(listener: int) -> socket.socket:
        record = records.read_record(directory)
        address = str(record["addresses"][0]) if record.get("driver") == "cni" else "127.0.0.1"
        return socket.create_connection((address, listeners[listener]), timeout=30)

    Relay(listeners, connect).run_until(end)
