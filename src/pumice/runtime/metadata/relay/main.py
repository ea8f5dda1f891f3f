"""The relay's entry point: ``HOME UUID POD LISTENER … -- COMMAND …``.

``POD`` is the pod's directory, whose lock is held while the pod runs. Each ``LISTENER`` is a listening socket
that this process inherits, of which one may be in the network of the pod. ``COMMAND`` starts the service.
"""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading

from pumice.runtime.metadata.relay.connection import connect_to_service
from pumice.runtime.network.keeper.relay import Relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_IGNORED_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
_MAX_CONNECTIONS = 32


def main(arguments: Sequence[str]) -> None:
    """Relay connections until the pod ends."""
    for number in _IGNORED_SIGNALS:  # a service manager sends them to every process of the pod
        signal.signal(number, signal.SIG_IGN)
    end = arguments.index("--")
    home, uuid, pod, *listeners = arguments[:end]
    command = list(arguments[end + 1 :])
    threading.Thread(target=_exit_with_pod, args=(pod,), daemon=True).start()

    def connect(_: int) -> socket.socket:
        connection = connect_to_service(home, command)
        connection.sendall(f"{uuid}\n".encode("ascii"))
        return connection

    never, writer = os.pipe()
    Relay(map(int, listeners), connect, max_connections=_MAX_CONNECTIONS).run_until(never)
    os.close(writer)


def _exit_with_pod(pod: str) -> None:
    """Wait until nobody runs the pod, and end this process."""
    try:
        directory = os.open(pod, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(directory, fcntl.LOCK_SH)
    finally:
        os._exit(0)
