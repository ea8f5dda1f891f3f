"""Connections into the network of a container that has none but loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pumice.errors import SandboxError
from pumice.runtime import network_helper

_HELPER = str(Path(network_helper.__file__))
_HELPER_SECONDS = 10
_MAX_PROCESSES = 1000


def find_network(pid: int) -> int | None:
    """Return ``pid`` or a process below it that has another network than ours; None if there is none yet."""
    own = Path("/proc/self/ns/net").stat().st_ino
    pending = [pid]
    for _ in range(_MAX_PROCESSES):
        if not pending:
            return None
        process = pending.pop(0)
        with suppress(OSError):
            if Path(f"/proc/{process}/ns/net").stat().st_ino != own:
                return process
            for task in Path(f"/proc/{process}/task").iterdir():
                pending += map(int, (task / "children").read_text().split())
    return None


def open_socket(process: int) -> socket.socket | None:
    """Return a TCP socket in the network of ``process``, not connected; None if the process has ended.

    Raises SandboxError if the network cannot be entered. A helper enters the namespaces and passes the
    socket, so that this process need not enter them.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        arguments = [sys.executable, "-I", "-S", _HELPER, str(process), str(theirs.fileno())]
        result = subprocess.run(
            arguments,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
            env={},
        )
        if result.returncode and not _is_running(process):
            return None
        if result.returncode:
            reason = result.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise SandboxError(f"cannot enter the network of the container: {reason[:200]}")
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    return socket.socket(fileno=descriptors[0])


def _is_running(process: int) -> bool:
    with suppress(OSError):
        return bool(Path(f"/proc/{process}/ns/net").stat())
    return False
