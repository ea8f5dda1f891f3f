"""Health checks by commands in a virtual machine."""

from __future__ import annotations

# The socket module would be slower to import, and nothing of it is needed.
import _socket

from pumice.runtime.sandbox import guest_frames
from pumice.runtime.sandbox.descriptors import write_all
from pumice.runtime.sandbox.guest_session import Session, SessionError


def connect_to_machine(directory: int) -> int:
    """Return a connection to the machine of the pod with this directory; raises OSError."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    connection.connect(f"/proc/self/fd/{directory}/{guest_frames.SOCKET}")
    return connection.detach()


def check_in_machine(connection: int, program: int, command: str) -> int:
    """Run the program of this descriptor with the streams of this process, and return its exit code.

    Why it was not run goes to standard output, as the output of the command does.
    """
    with open(program, "rb") as file:
        content = file.read()
    try:
        return Session(connection, command).run(content)
    except SessionError as error:
        write_all(1, error.message.encode(errors="surrogateescape"))
        return error.code
