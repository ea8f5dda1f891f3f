"""The metadata service as a program: bounds, faults, sockets of a service manager, relays."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from pumice.formats.http1 import Request, Response
from pumice.runtime.metadata import records, registration, service
from pumice.runtime.metadata.command import service_command
from pumice.runtime.metadata.relay.connection import connect, connect_unix
from pumice.runtime.metadata.server import Limits, Server
from tests.support import metadata, waiting
from tests.support.metadata import OTHER_UUID, UUID, make_pod

if TYPE_CHECKING:
    from collections.abc import Iterator

FLAVOR = {"Metadata-Flavor": "AppContainer"}
POD = make_pod()
BASE = f"/{POD.apps['web'].token}/acMetadata/v1"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with metadata.running_pod(tmp_path, POD):
        yield tmp_path


def sign(home: Path) -> str:
    body = urlencode({"content": "x"}).encode()
    status, _, signature = metadata.request(home, UUID, "POST", f"{BASE}/pod/hmac/sign", body)
    assert status == 200
    return signature.decode()


def verify(home: Path, signature: str) -> int:
    body = urlencode({"content": "x", "uuid": UUID, "signature": signature}).encode()
    return metadata.request(home, UUID, "POST", f"{BASE}/pod/hmac/verify", body)[0]


def test_signatures_survive_a_killed_service(home: Path) -> None:
    with metadata.running_service(home) as process:
        signature = sign(home)
        process.kill()
    with metadata.running_service(home):
        assert verify(home, signature) == 200
        assert sign(home) == signature


def test_a_service_that_is_killed_while_it_signs_leaves_nothing_broken(home: Path) -> None:
    """Clients send requests all the time; whatever was answered stays valid, and the keys stay the same."""
    signatures: set[str] = set()
    for _ in range(3):
        with metadata.running_service(home) as process:
            stop = threading.Event()

            def ask(stop: threading.Event) -> None:
                while not stop.is_set():
                    try:
                        signatures.add(sign(home))
                    except OSError:
                        return

            threads = [threading.Thread(target=ask, args=(stop,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            signatures.add(sign(home))
            process.kill()
            process.wait()
            stop.set()
            for thread in threads:
                thread.join()
    with metadata.running_service(home):
        assert len(signatures) == 1
        assert verify(home, signatures.pop()) == 200


def test_the_second_service_leaves(home: Path) -> None:
    with metadata.running_service(home):
        second = subprocess.run(service_command(home, 0), timeout=60, check=False)
        assert second.returncode == 0
        assert sign(home)


def test_only_the_owner_can_connect(home: Path) -> None:
    with metadata.running_service(home):
        path = home / "metadata" / "socket"
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_a_pod_that_does_not_run_gets_nothing(tmp_path: Path) -> None:
    with metadata.running_service(tmp_path):
        with metadata.running_pod(tmp_path, POD):
            assert metadata.request(tmp_path, UUID, "GET", f"{BASE}/pod/uuid")[0] == 200
            assert metadata.request(tmp_path, OTHER_UUID, "GET", f"{BASE}/pod/uuid")[0] == 401
        assert metadata.request(tmp_path, UUID, "GET", f"{BASE}/pod/uuid")[0] == 401


@pytest.mark.parametrize("source", ["", "../../etc", "x" * 36, UUID.upper()])
def test_a_source_that_is_not_a_pod_gets_nothing(home: Path, source: str) -> None:
    with metadata.running_service(home):
        assert metadata.request(home, source, "GET", f"{BASE}/pod/uuid")[0] == 401


@pytest.mark.parametrize("data", [b"", b"x" * 1000, b"\xff\n\n", b"[]", b'{"apps": 5}'])
def test_a_damaged_registration_gives_nothing(tmp_path: Path, data: bytes) -> None:
    with metadata.running_pod(tmp_path, POD) as directory, metadata.running_service(tmp_path):
        (directory / records.FILE).write_bytes(data)
        assert metadata.request(tmp_path, UUID, "GET", f"{BASE}/pod/uuid")[0] == 401


def test_a_missing_key_file_is_made_again_and_a_bad_one_is_an_error(home: Path) -> None:
    keys = home / "metadata" / "keys.json"
    with metadata.running_service(home):
        signature = sign(home)
        keys.write_bytes(b"{}")
        body = urlencode({"content": "x"}).encode()
        assert metadata.request(home, UUID, "POST", f"{BASE}/pod/hmac/sign", body)[0] == 500
        assert metadata.request(home, UUID, "GET", f"{BASE}/pod/uuid")[0] == 200
        keys.unlink()
        assert sign(home) != signature
        assert verify(home, signature) == 403


def test_the_service_is_small(home: Path) -> None:
    with metadata.running_service(home) as process:
        path = f"/{POD.apps['web'].token}/identity/v1/token?audience=a"
        assert metadata.request(home, UUID, "GET", path, headers=FLAVOR)[0] == 200
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = int(status.partition("VmRSS:")[2].split()[0])
        assert resident < 30 << 10


def test_no_token_is_in_a_command_line_or_in_the_log(home: Path) -> None:
    process = subprocess.Popen(service_command(home, 0), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    metadata.wait_for_service(home)
    metadata.request(home, UUID, "GET", f"{BASE}/pod/uuid")
    metadata.request(home, UUID, "GET", f"{BASE}/%ff")
    token = POD.apps["web"].token.encode()
    assert token not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
    process.terminate()
    assert not any(token in output for output in process.communicate())


def test_a_service_manager_can_open_the_sockets(home: Path) -> None:
    (home / "metadata").mkdir(mode=0o700)
    with service.listen_unix(str(home / "metadata" / "socket"), 0o600) as listener:
        code = (
            "import os, sys; from pumice.runtime.metadata import service;"
            "os.dup2(int(sys.argv[2]), 3); os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()));"
            "service.serve(sys.argv[1], environ=os.environ)"
        )
        command = [sys.executable, "-c", code, str(home), str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=(listener.fileno(),))
    try:
        assert sign(home)
    finally:
        process.terminate()
        assert process.wait() == 0
    assert (home / "metadata" / "socket").exists()  # it is the manager's


@pytest.mark.parametrize("count", ["1", "99"])
def test_descriptors_that_do_not_listen_are_refused(home: Path, count: str) -> None:
    code = (
        "import os, sys; os.dup2(0, 3); from pumice.cli.main import main;"
        f"os.environ.update(LISTEN_FDS='{count}', LISTEN_PID=str(os.getpid()), PUMICE_HOME=sys.argv[1]);"
        "sys.exit(main(['metadata-service']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(home)], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    assert result.returncode == 2
    assert b"service manager" in result.stderr


def test_the_path_of_a_socket_may_be_long(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 100) / ("y" * 100)
    home.mkdir(parents=True)
    with metadata.running_pod(home, POD), metadata.running_service(home):
        assert sign(home)


# Bounds -------------------------------------------------------------------------------------------


class Running:
    """A server in this process, whose responses wait for ``release``."""

    def __init__(self, limits: Limits) -> None:
        self.release = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.relayed = socket.create_server(("127.0.0.1", 0))
        self._stop, stop = socket.socketpair()
        server = Server(self._respond, [self.listener], relayed=[self.relayed], limits=limits)
        self._thread = threading.Thread(target=server.run, kwargs={"stop": stop})
        self._sockets = (self.listener, self.relayed, self._stop, stop)
        self._thread.start()

    def _respond(self, request: Request, source: str) -> Response:
        if request.path == "/wait":
            self.release.wait(60)
        if request.path == "/fail":
            raise RuntimeError(request.path)
        return Response(200, source.encode())

    def connect(self, source: str = "") -> socket.socket:
        connection = socket.create_connection((self.relayed if source else self.listener).getsockname())
        connection.settimeout(30)
        if source:
            connection.sendall(f"{source}\n".encode())
        return connection

    def close(self) -> None:
        self.release.set()
        self._stop.send(b"x")
        self._thread.join()
        for each in self._sockets:
            each.close()


@pytest.fixture
def running() -> Iterator[Running]:
    server = Running(Limits(connections=8, per_source=2, seconds=waiting.PATIENCE_SECONDS))
    yield server
    server.close()


@pytest.fixture
def impatient() -> Iterator[Running]:
    server = Running(Limits(connections=8, per_source=2, seconds=0.2))
    yield server
    server.close()


def test_one_pod_cannot_take_all_connections(running: Running) -> None:
    connections = [running.connect("a") for _ in range(2)]
    for connection in connections:
        connection.sendall(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
    # The server counts a connection when it has read its source, so the third one may come too early.
    waiting.until(lambda: metadata.exchange(running.connect("a"), "GET", "/")[0] == 503)
    assert metadata.exchange(running.connect("b"), "GET", "/")[2] == b"b"
    running.release.set()
    for connection in connections:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        connection.close()


@pytest.mark.parametrize("data", [b"", b"G", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc"])
def test_a_request_that_never_ends_is_dropped(impatient: Running, data: bytes) -> None:
    with impatient.connect() as connection:
        connection.sendall(data)
        assert connection.recv(100) == b""


def test_a_source_that_never_ends_is_dropped(impatient: Running) -> None:
    with impatient.connect("x" * 100) as connection, pytest.raises(ConnectionError):
        if not connection.recv(100):
            raise ConnectionResetError


def test_malformed_requests_and_failures_are_answered(running: Running) -> None:
    with running.connect() as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 Bad Request")
    assert metadata.exchange(running.connect(), "GET", "/fail")[::2] == (500, b"internal error\n")
    with running.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"x")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


# Relays -------------------------------------------------------------------------------------------


def start_relay(home: Path, directory: Path, idle_seconds: float) -> subprocess.Popen[bytes]:
    *words, last = registration.relay_command(home, UUID, directory, [""])
    assert words.pop() == "--"
    assert last == ""
    with service.listen_unix(str(directory / records.SOCKET), 0o666) as listener:
        number = listener.fileno()
        command = [*words, str(number), "--", *service_command(home, idle_seconds)]
        return subprocess.Popen(command, pass_fds=[number])


def ask_relay(directory: Path, path: str) -> int:
    connection = connect_unix(str(directory / records.SOCKET))
    connection.settimeout(30)
    return metadata.exchange(connection, "GET", path)[0]


def test_a_relay_starts_the_service_whenever_it_is_needed(tmp_path: Path) -> None:
    with metadata.running_pod(tmp_path, POD) as directory:
        relay = start_relay(tmp_path, directory, idle_seconds=0.2)
        for _ in range(3):
            assert ask_relay(directory, f"{BASE}/pod/uuid") == 200
            waiting.until(lambda: not (tmp_path / "metadata" / "socket").exists())
    assert relay.wait(60) == 0  # when the pod ended


def test_a_relay_ignores_the_signals_of_a_service_manager(tmp_path: Path) -> None:
    with metadata.running_pod(tmp_path, POD) as directory, metadata.running_service(tmp_path):
        relay = start_relay(tmp_path, directory, 1)
        assert ask_relay(directory, f"{BASE}/pod/uuid") == 200
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            relay.send_signal(number)
        assert ask_relay(directory, f"{BASE}/pod/uuid") == 200
    assert relay.wait(60) == 0


def test_the_token_of_another_pod_is_refused_by_the_relay(tmp_path: Path) -> None:
    other = make_pod(OTHER_UUID)
    path = f"/{other.apps['web'].token}/acMetadata/v1/pod/uuid"
    with (
        metadata.running_pod(tmp_path, POD) as directory,
        metadata.running_pod(tmp_path, other),
        metadata.running_service(tmp_path),
    ):
        relay = start_relay(tmp_path, directory, 1)
        assert ask_relay(directory, path) == 401
        assert metadata.request(tmp_path, OTHER_UUID, "GET", path)[0] == 200
    relay.wait(60)


def test_the_service_is_started_again_if_the_one_that_was_faster_ends(tmp_path: Path) -> None:
    faster = 'if [ -e "$0/faster" ]; then exec "$@"; else : > "$0/faster"; fi'
    command = ["/bin/sh", "-c", faster, str(tmp_path), *service_command(tmp_path, 0.2)]
    program = (
        "import sys; from pumice.runtime.metadata.relay.connection import connect_to_service as connect;"
        " connect(sys.argv[1], sys.argv[2:])"
    )
    with metadata.running_pod(tmp_path, POD):
        subprocess.run([sys.executable, "-c", program, str(tmp_path), *command], check=True)
        waiting.until(lambda: not (tmp_path / "metadata" / "socket").exists())


def test_a_removed_store_ends_everything(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with metadata.running_pod(home, POD) as directory:
        relay = start_relay(home, directory, 1)
        shutil.rmtree(home)
    assert relay.wait(60) == 0
    with pytest.raises(OSError):
        connect(str(home))
