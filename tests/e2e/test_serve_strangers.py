"""``pumice serve`` and who it does not trust: browsers, slow clients, requests that are half right."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.support.serving import Registry, digest_of, impatient, serving


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving(tmp_path_factory.mktemp("registry") / "root") as one:
        yield one


def talk(registry: Registry, data: bytes) -> bytes:
    """Send ``data`` and return all that comes back until the server ends the connection."""
    host, port = registry.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as one:
        one.sendall(data)
        taken = b""
        while chunk := one.recv(65536):
            taken += chunk
        return taken


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
def test_a_browser_that_was_lured_here_gets_nothing(registry: Registry, request_: bytes, status: int) -> None:
    version, said, _ = talk(registry, request_).split(b" ", 2)
    assert (version, int(said)) == (request_[9:17], status)


@pytest.mark.parametrize("options", [["--anonymous", "read"], ["--anonymous", "none"], ["--read-only"]])
def test_every_server_on_loopback_checks_the_host(tmp_path: Path, options: list[str]) -> None:
    users = tmp_path / "users"
    users.write_text(f"alice:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    with serving(tmp_path / "root", "--htpasswd", str(users), *options) as one:
        for path in ("/healthz", "/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/latest"):
            answer = one.ask("GET", path, headers={"Host": "evil.example"})
            assert (answer.status, answer.code) == (403, "DENIED")
            assert "--allowed-host" in answer.json["errors"][0]["message"]
        assert one.ask("GET", "/healthz").status == 200
        assert talk(one, get("Host: a", "Host: b")).startswith(b"HTTP/1.1 400")


def test_a_host_that_a_proxy_forwards_can_be_allowed(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--allowed-host", "Registry.Example") as one:
        for host in ("registry.example", "REGISTRY.example:443", "registry.example.", "localhost"):
            assert one.ask("GET", "/v2/", headers={"Host": host}).status == 200
        assert one.ask("GET", "/v2/", headers={"Host": "other.example"}).status == 403


def test_a_body_that_breaks_is_not_called_a_wrong_digest(registry: Registry) -> None:
    place = f"/v2/broken/blobs/uploads/?digest={digest_of(b'whole')}"
    head = f"POST {place} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    said = talk(registry, head + b"3\r\nwho\r\n-2\r\nle\r\n0\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400")
    assert b"BLOB_UPLOAD_INVALID" in said
    assert b"the received content is incomplete" in said
    wrong = registry.ask("POST", place, b"other")
    assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")


def test_nobody_holds_a_connection_by_being_slow(tmp_path: Path) -> None:
    with impatient(tmp_path / "root") as one:
        assert talk(one, b"GET /v2/ HTTP/1.1\r\nHost: local").count(b" 200 ") == 0
        place = one.ask("POST", "/v2/slow/blobs/uploads/").headers["Location"]
        head = f"PATCH {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n".encode()
        said = talk(one, head + b"12345")
        assert said.startswith(b"HTTP/1.1 408")
        assert one.ask("GET", place).headers["Range"] == "0-4"
