"""``pumice serve`` with untrusted clients: browsers, slow clients, incomplete requests."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.support.serving import Registry, digest_of, impatient, serving


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving(tmp_path_factory.mktemp("registry") / "root") as server:
        yield server


def talk(registry: Registry, data: bytes) -> bytes:
    """Send ``data`` and return everything received until the server closes the connection."""
    host, port = registry.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(data)
        received = b""
        while chunk := client.recv(65536):
            received += chunk
        return received


def get(*headers: str, version: str = "1.1") -> bytes:
    lines = [f"GET /v2/ HTTP/{version}", *headers, "Connection: close"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("Host: localhost"), 200),
        (get("Host: LocalHost:5000"), 200),
        (get("Host: 127.3.2.1:5000"), 200),
        (get("Host: [::1]:5000"), 200),
        (get("Host: registry.localhost"), 200),
        (get(version="1.0"), 200),
        (get(), 400),
        (get("Host: localhost", "Host: localhost"), 400),
        (get("Host: evil.example:5000"), 403),
        (get("Host: localhost.evil.example"), 403),
        (get("Host: 127.0.0.1.evil.example"), 403),
        (get("Host: 10.0.0.1"), 403),
        (get("Host: [::2]"), 403),
        (get("Host: localhost", "Origin: https://evil.example"), 403),
        (get("Host: localhost", "Origin: null"), 403),
    ],
)
def test_web_pages_cannot_use_a_local_registry(registry: Registry, request_: bytes, status: int) -> None:
    version, received, _ = talk(registry, request_).split(b" ", 2)
    assert (version, int(received)) == (request_[9:17], status)


@pytest.mark.parametrize("options", [["--anonymous", "read"], ["--anonymous", "none"], ["--read-only"]])
def test_a_server_on_loopback_checks_the_host_header(tmp_path: Path, options: list[str]) -> None:
    users = tmp_path / "users"
    users.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    with serving(tmp_path / "root", "--htpasswd", str(users), *options) as server:
        for path in ("/healthz", "/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/latest"):
            response = server.ask("GET", path, headers={"Host": "evil.example"})
            assert (response.status, response.code) == (403, "DENIED")
            assert "--allowed-host" in response.json["errors"][0]["message"]
        assert server.ask("GET", "/healthz").status == 200
        assert talk(server, get("Host: a", "Host: b")).startswith(b"HTTP/1.1 400")


def test_a_host_can_be_allowed_for_a_reverse_proxy(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--allowed-host", "Registry.Example") as server:
        for host in ("registry.example", "REGISTRY.example:443", "registry.example.", "localhost"):
            assert server.ask("GET", "/v2/", headers={"Host": host}).status == 200
        assert server.ask("GET", "/v2/", headers={"Host": "other.example"}).status == 403


def test_an_incomplete_body_is_not_reported_as_a_wrong_digest(registry: Registry) -> None:
    location = f"/v2/broken/blobs/uploads/?digest={digest_of(b'whole')}"
    head = f"POST {location} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    received = talk(registry, head + b"3\r\nwho\r\n-2\r\nle\r\n0\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400")
    assert b"BLOB_UPLOAD_INVALID" in received
    assert b"the received content is incomplete" in received
    reply = registry.ask("POST", location, b"other")
    assert (reply.status, reply.code) == (400, "DIGEST_INVALID")


def test_slow_requests_are_ended(tmp_path: Path) -> None:
    with impatient(tmp_path / "root") as server:
        assert talk(server, b"GET /v2/ HTTP/1.1\r\nHost: local").count(b" 200 ") == 0
        location = server.ask("POST", "/v2/slow/blobs/uploads/").headers["Location"]
        head = f"PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n".encode()
        received = talk(server, head + b"12345")
        assert received.startswith(b"HTTP/1.1 408")
        assert server.ask("GET", location).headers["Range"] == "0-4"
