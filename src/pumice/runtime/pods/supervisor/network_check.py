"""Health checks that ask a server in the network of a pod (Kubernetes: ``httpGet`` and ``tcpSocket``)."""

from __future__ import annotations

# The socket module would be slower to import, and nothing of it is needed.
import _socket
import os

from pumice.runtime.pods.supervisor.http_check import MAX_HEAD, judge_answer, make_request
from pumice.runtime.sandbox import join, syscalls
from pumice.runtime.sandbox.descriptors import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PASSED, _FAILED = 0, 1


def check_network(pidfd: int, process: int, kind: str, words: Sequence[str]) -> int:
    """Return 0 if the server answers, else 1; what it said goes to standard output.

    ``words`` are the host and the port, and for ``http`` also as in `http_check`. This process enters the
    network of the program, and never leaves it.
    """
    syscalls.end_with_parent()
    try:
        _enter_network(pidfd, process)
        connection = _connect(words[0], int(words[1]))
    except OSError as error:
        return _report(f"{words[0]}:{words[1]}: {(error.strerror or str(error)).lower()}", _FAILED)
    if kind == "tcp":
        return _report("", _PASSED)
    try:
        connection.sendall(make_request(words))
        is_success, head = judge_answer(_read_line(connection))
    except OSError as error:
        return _report((error.strerror or str(error)).lower(), _FAILED)
    return _report(head, _PASSED if is_success else _FAILED)


def _enter_network(pidfd: int, process: int) -> None:
    flags = join.different_namespaces(process) & (syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNET)
    if os.geteuid() == 0:
        flags &= syscalls.CLONE_NEWNET
    if flags & syscalls.CLONE_NEWNET:
        syscalls.join_namespaces(pidfd, flags)


def _connect(host: str, port: int) -> _socket.socket:
    failure = OSError(f"cannot resolve {host}")
    for family, kind, protocol, _, address in _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM):
        connection = _socket.socket(family, kind, protocol)
        try:
            connection.connect(address)
        except OSError as error:
            failure = error
        else:
            return connection
    raise failure


def _read_line(connection: _socket.socket) -> bytes:
    data = b""
    while b"\n" not in data and len(data) < MAX_HEAD:
        block = connection.recv(MAX_HEAD)
        if not block:
            break
        data += block
    return data


def _report(text: str, code: int) -> int:
    write_all(1, text.encode(errors="replace"))
    return code
