"""Health checks in a virtual machine, by commands or through its network."""

from __future__ import annotations

# The socket module would be slower to import, and nothing of it is needed.
import _socket
import os
import struct

from pumice.runtime.pods.supervisor.http_check import MAX_HEAD, judge_answer, make_request
from pumice.runtime.sandbox import guest_frames
from pumice.runtime.sandbox.descriptors import write_all
from pumice.runtime.sandbox.guest_session import Session, SessionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

SERVER = struct.Struct("<QQQ32s")
"""What the program of `guest.connection_program` reads: the family, size of the address, whether to read an
answer, and the address."""
_PASSED, _FAILED = 0, 1


class Machine:
    """The machine of the app with this directory; ``app`` is its number, -1 if it is the only one."""

    def __init__(self, directory: int, app: int) -> None:
        self._directory = directory
        self._path = guest_frames.SOCKET if app < 0 else guest_frames.SOCKET_OF_POD
        self.app = max(app, 0)

    def connect(self) -> int:
        """Return a connection to it; raises OSError."""
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        connection.connect(f"/proc/self/fd/{self._directory}/{self._path}")
        return connection.detach()


def check_in_machine(machine: Machine, program: int, command: str) -> int:
    """Run the program of this descriptor with the streams of this process, and return its exit code.

    Why it was not run goes to standard output, as the output of the command does.
    """
    try:
        return Session(machine.connect(), command).run(_read(program), machine.app)
    except SessionError as error:
        return _report(error.message, error.code)


def check_server_in_machine(machine: Machine, program: int, kind: str, words: Sequence[str]) -> int:
    """Return 0 if a server in the machine of a pod answers, else 1, as `network_check.check_network` does.

    ``program`` is a descriptor of `guest.connection_program`. Names are resolved outside of the machine.
    """
    content, failure = _read(program), "no address"
    request = make_request(words) if kind == "http" else b""
    try:
        addresses = _socket.getaddrinfo(words[0], int(words[1]), 0, _socket.SOCK_STREAM)
        for family, *_, address in addresses:
            server = _describe_server(family, address, reads_answer=kind == "http")
            answer = _Answer()
            code = answer.read(machine, content, server + request)
            if code == 0:
                is_success, head = judge_answer(answer.data) if kind == "http" else (True, "")
                return _report(head, _PASSED if is_success else _FAILED)
            failure = os.strerror(code).lower()
    except SessionError as error:
        return _report(error.message, _FAILED)
    except OSError as error:
        failure = (error.strerror or str(error)).lower()
    return _report(f"{words[0]}:{words[1]}: {failure}", _FAILED)


class _AnswerCompleteError(Exception):
    """The answer of a server has a first line, and no more is needed."""


class _Answer:
    """What a server in a machine answers."""

    def __init__(self) -> None:
        self.data = b""

    def read(self, machine: Machine, program: bytes, program_input: bytes) -> int:
        """Run the program, and return its exit code, 0 as soon as there is a first line."""
        file = os.memfd_create("input", os.MFD_CLOEXEC)
        write_all(file, program_input)
        os.lseek(file, 0, os.SEEK_SET)
        os.dup2(file, 0)
        os.close(file)
        try:
            session = Session(machine.connect(), "the health check", on_output=self._add)
            return session.run(program, machine.app)
        except _AnswerCompleteError:
            return 0

    def _add(self, _: int, data: bytes) -> None:
        self.data += data
        if b"\n" in self.data or len(self.data) >= MAX_HEAD:
            raise _AnswerCompleteError


def _describe_server(family: int, address: tuple[Any, ...], *, reads_answer: bool) -> bytes:
    """Return what the program needs to know of a server, whose address is as in ip(7) or ipv6(7)."""
    host, port, *more = address
    number = _socket.inet_pton(family, host)
    if family == _socket.AF_INET:
        packed = struct.pack("<H2s4s8x", family, port.to_bytes(2, "big"), number)
    else:
        flow, scope = more
        packed = struct.pack("<H2sI16sI", family, port.to_bytes(2, "big"), _socket.htonl(flow), number, scope)
    return SERVER.pack(family, len(packed), reads_answer, packed)


def _read(program: int) -> bytes:
    os.lseek(program, 0, os.SEEK_SET)
    with open(program, "rb", closefd=False) as file:
        return file.read()


def _report(text: str, code: int) -> int:
    write_all(1, text.encode(errors="surrogateescape"))
    return code
