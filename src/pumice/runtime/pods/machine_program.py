"""Running another program in a pod whose stage 1 is a virtual machine."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from pumice.errors import PodError
from pumice.runtime.guest import program_start
from pumice.runtime.launch import execution
from pumice.runtime.launch.errors import raise_reason
from pumice.runtime.pods import pod_store
from pumice.runtime.sandbox import guest_frames
from pumice.runtime.sandbox.guest_session import MachineGoneError, Session, SessionError, choose_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.runtime.pods.pod_store import PodState
    from pumice.runtime.sandbox.options import Options


def execute_in_machine(state: PodState, options: Options) -> int:
    """Run a program that options of the built-in sandbox describe; return its exit code.

    It has the streams of this process. Raises PodError if the machine has ended, and SandboxError if the
    program cannot be started.
    """
    terminal = choose_terminal()
    program = program_start.describe_joined(options, read_filter(state.directory), terminal)
    connection = _connect(state)
    execution.block_signals()
    session = Session(connection, program.arguments[0], terminal=terminal)
    try:
        return session.run(program_start.assemble_joined(program), _find_number(state))
    except MachineGoneError:
        raise PodError(f"the virtual machine of the pod {state.pod.name} has ended") from None
    except SessionError as error:
        text = f"{error.message}\n  hint: {error.hint}" if error.hint else error.message
        raise_reason(text, error.code)


def _find_number(state: PodState) -> int:
    """Return the number of an app in the machine of its pod: its position in the record of that."""
    pod = pod_store.read_pod(state.directory.parent.parent) if state.pod.app_of else None
    return pod.pod.apps.index(state.pod.name) if pod and state.pod.name in pod.pod.apps else 0


def read_filter(directory: Path) -> bytes:
    """Return the filter of system calls of a pod, empty if it has none."""
    try:
        return (directory / pod_store.FILTER).read_bytes()
    except FileNotFoundError:
        return b""


def _connect(state: PodState) -> int:
    """Return a connection to the machine of a pod; its path would be too long for a socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        directory = os.open(state.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name = guest_frames.SOCKET_OF_POD if state.pod.app_of else guest_frames.SOCKET
            connection.connect(f"/proc/self/fd/{directory}/{name}")
        finally:
            os.close(directory)
    except OSError:
        connection.close()
        raise PodError(f"the virtual machine of the pod {state.pod.name} has ended") from None
    return connection.detach()
