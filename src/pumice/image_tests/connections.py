"""Connects to a started program: waits for its ports, and checks its responses."""

from __future__ import annotations

import http.client
import io
import select
import socket
import time
from typing import TYPE_CHECKING, cast

from pumice.image_tests.matching import check_text
from pumice.image_tests.outcome import Failure
from pumice.runtime import container_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

    from pumice.formats.oci import RunConfig
    from pumice.recipe.image_tests import HttpCheck, ImageTest, Network, TcpCheck
    from pumice.runtime.background import BackgroundContainer

_MAX_BODY = 1 << 20
_RETRY_SECONDS = 0.05
_ADDRESS = "127.0.0.1"
_QUIET_SECONDS = 1.0


class _ConnectionFailedError(Exception):
    """A port that cannot be used, as a failure."""

    def __init__(self, subject: str, expected: str, actual: str) -> None:
        super().__init__(subject)
        self.failure = Failure(subject=subject, expected=expected, actual=actual)


def check_server(
    test: ImageTest, container: BackgroundContainer, config: RunConfig, network: Network, deadline: float
) -> list[Failure]:
    """Return the failures of all checks of ports, in order."""
    failures: list[Failure] = []
    connector = _Connector(container, network, deadline)
    try:
        for tcp in test.tcp:
            with connector.connect(tcp.port or _only_port(config)) as connection:
                failures += _check_tcp(tcp, connection, deadline)
        for request in test.http:
            port = request.port or _only_port(config)
            with connector.connect(port) as connection:
                failures += _check_http(request, port, connection, deadline)
    except _ConnectionFailedError as error:
        failures.append(error.failure)
    return failures


def find_used_port(test: ImageTest, config: RunConfig) -> int | None:
    """Return a port of a test on which another program of this machine listens, None if there is none."""
    for port_or_default in [check.port for check in test.tcp] + [check.port for check in test.http]:
        try:
            port = port_or_default or _only_port(config)
        except _ConnectionFailedError:
            return None
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            if connection.connect_ex((_ADDRESS, port)) == 0:
                return port
    return None


def _only_port(config: RunConfig) -> int:
    ports = [text.partition("/")[0] for text in config.exposed_ports if not text.endswith("/udp")]
    if len(ports) != 1 or not ports[0].isdigit():
        actual = f"it exposes {', '.join(sorted(ports))}" if ports else "it exposes none"
        raise _ConnectionFailedError("port", "the image exposes one TCP port, or the test has 'port'", actual)
    return int(ports[0])


class _Connector:
    """Makes connections to the program, and waits until it listens."""

    def __init__(self, container: BackgroundContainer, network: Network, deadline: float) -> None:
        self._container = container
        self._network = network
        self._deadline = deadline

    def connect(self, port: int) -> socket.socket:
        """Return a connection; raises _ConnectionFailedError if the program ends or time is over."""
        subject, expected = f"port {port}", "accepts connections"
        while True:
            connection = self._try_connect(port)
            if connection is not None:
                return connection
            code = self._container.wait(time.monotonic() + _RETRY_SECONDS)
            if code is not None:
                raise _ConnectionFailedError(subject, expected, f"the program ended with exit code {code}")
            if time.monotonic() >= self._deadline:
                raise _ConnectionFailedError(subject, expected, "not before the time limit")

    def _try_connect(self, port: int) -> socket.socket | None:
        connection = self._socket()
        if connection is None:
            return None
        connection.settimeout(max(0.1, self._deadline - time.monotonic()))
        try:
            connection.connect((_ADDRESS, port))
        except OSError:
            connection.close()
            return None
        return connection

    def _socket(self) -> socket.socket | None:
        if self._network == "host":
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        process = container_network.find_network(self._container.pid)
        return None if process is None else container_network.open_socket(process)


def _check_tcp(check: TcpCheck, connection: socket.socket, deadline: float) -> Iterator[Failure]:
    subject = f"port {connection.getpeername()[1]}"
    try:
        connection.settimeout(max(0.1, deadline - time.monotonic()))
        connection.sendall(check.send.encode())
        if check.receive is None:
            return
        received = _receive(check, connection, deadline)
    except OSError as error:
        actual = (error.strerror or str(error)).lower()
        yield Failure(subject=subject, expected="can be written to and read from", actual=actual)
        return
    yield from check_text(f"received from {subject}", received, check.receive)


def _receive(check: TcpCheck, connection: socket.socket, deadline: float) -> str:
    """Return what arrives until it is as expected, the end of the stream, a limit, or the time is over."""
    data = b""
    while len(data) < _MAX_BODY:
        remaining = deadline - time.monotonic()
        text = data.decode(errors="replace")
        is_complete = bool(data) and not any(check_text("", text, check.receive))
        if is_complete:
            remaining = min(remaining, _QUIET_SECONDS)
        if remaining <= 0 or not select.select([connection], [], [], remaining)[0]:
            break
        part = connection.recv(min(1 << 16, _MAX_BODY - len(data)))
        if not part:
            break
        data += part
    return data.decode(errors="replace")


def _check_http(check: HttpCheck, port: int, connection: socket.socket, deadline: float) -> Iterator[Failure]:
    subject = f"{check.method} {check.path}"
    try:
        connection.settimeout(max(0.1, deadline - time.monotonic()))
        connection.sendall(_encode_request(check, port))
        response = http.client.HTTPResponse(
            cast("socket.socket", _TimedSocket(connection, deadline)), method=check.method
        )
        response.begin()
        body = response.read(_MAX_BODY + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        yield Failure(subject=subject, expected="an HTTP response", actual=reason[:200])
        return
    if response.status != check.status:
        yield Failure(subject=f"status of {subject}", expected=str(check.status), actual=str(response.status))
    for name, value in check.response_headers.items():
        actual = response.getheader(name)
        if actual != value:
            yield Failure(
                subject=f"header {name} of {subject}",
                expected=value,
                actual="none" if actual is None else actual[:200],
            )
    if len(body) > _MAX_BODY:
        yield Failure(subject=f"body of {subject}", expected=f"at most {_MAX_BODY >> 20} MiB", actual="more")
    yield from check_text(f"body of {subject}", body[:_MAX_BODY].decode(errors="replace"), check.body)


def _encode_request(check: HttpCheck, port: int) -> bytes:
    body = check.send.encode()
    headers = {"Host": f"localhost:{port}", "Connection": "close", "User-Agent": "pumice-test"}
    if body or check.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(body))
    own = {name.lower() for name in check.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own} | check.headers
    lines = [
        f"{check.method} {check.path} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + body


class _TimedSocket(io.RawIOBase):
    """A connection for `http.client` whose reads end at a deadline, however slowly the bytes arrive."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        super().__init__()
        self._connection = connection
        self._deadline = deadline

    def makefile(self, mode: str) -> io.BufferedReader:  # noqa: ARG002 - the method of sockets
        """Return a file to read from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into ``buffer``; raises TimeoutError at the deadline."""
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        self._connection.settimeout(remaining)
        return self._connection.recv_into(buffer)
