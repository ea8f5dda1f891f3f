"""Connections to the metadata service of a store, which is started if it does not run."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SERVICE_SOCKET = "metadata/socket"
"""The socket of the service in its store."""
_SECONDS = 30.0
"""How long a service may take to start on a busy machine."""
_INTERVAL = 0.01
_starting = threading.Lock()


def connect_to_service(home: str, command: Sequence[str]) -> socket.socket:
    """Return a connection to the service of the store in ``home``; raises OSError if there is none.

    ``command`` starts it, if it does not run.
    """
    try:
        return connect(home)
    except (FileNotFoundError, ConnectionRefusedError):
        pass
    with _starting:  # threads wait for the first one, and then find the service running
        return _start(home, command)


def _start(home: str, command: Sequence[str]) -> socket.socket:
    deadline = time.monotonic() + _SECONDS
    process: subprocess.Popen[bytes] | None = None
    while True:
        try:
            return connect(home)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                raise
        # Another relay may be faster: then this service ends at once, and the other one answers.
        if process is None:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                start_new_session=True,
            )
        elif process.poll() == 0:  # the other service may have been about to end
            process = None
        elif process.poll() is not None:
            raise ConnectionRefusedError
        time.sleep(_INTERVAL)


def connect(home: str) -> socket.socket:
    """Return a connection to the running service; raises OSError if there is none."""
    return connect_unix(f"{home}/{SERVICE_SOCKET}")


def connect_unix(path: str) -> socket.socket:
    """Return a connection to a Unix socket, whose path may be longer than an address; raises OSError."""
    directory, _, name = path.rpartition("/")
    parent = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(f"/proc/self/fd/{parent}/{name}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(parent)
    return connection
