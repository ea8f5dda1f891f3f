"""``pumice serve``: addresses, passwords, rules, logs, attacks, and shutdown."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import pytest

from tests.support import tls, waiting
from tests.support.serving import Registry, descriptor, digest_of, image, serving

ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice:correct horse").decode()}
BOB = {"Authorization": "Basic " + base64.b64encode("bob:pässword".encode()).decode()}
POST = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\n"
WRONG = {"Authorization": "Basic " + base64.b64encode(b"alice:wrong").decode()}


def refused(*options: str, code: int = 2) -> str:
    """Run the command with options that it must reject; return its error output."""
    process = subprocess.run(
        [sys.executable, "-m", "pumice", "serve", "--listen", "127.0.0.1:0", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (process.returncode, process.stdout) == (code, "")
    assert "Traceback" not in process.stderr
    return process.stderr


@pytest.fixture
def htpasswd(tmp_path: Path) -> Path:
    file = tmp_path / "htpasswd"
    lines = [
        f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n"
        for user, password in (("alice", "correct horse"), ("bob", "pässword"))
    ]
    file.write_text("# users\n\n" + "".join(lines))
    return file


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving(tmp_path_factory.mktemp("registry") / "root") as server:
        yield server


def test_content_and_uploads_survive_a_restart(tmp_path: Path) -> None:
    data = b"resumed" * 100_000
    with serving(tmp_path / "root") as server:
        digest, document = server.push_image("team/app", "v1")
        location = server.ask("POST", "/v2/team/app/blobs/uploads/").headers["Location"]
        assert server.ask("PATCH", location, data[:300_000]).status == 202
        server.kill()
    with serving(tmp_path / "root") as server:
        assert server.ask("GET", "/v2/team/app/manifests/v1").body == document
        assert server.ask("GET", location).headers["Range"] == "0-299999"
        response = server.ask("PATCH", location, data[300_000:], {"Content-Range": f"300000-{len(data) - 1}"})
        assert response.status == 202
        assert server.ask("PUT", location, digest=digest_of(data)).status == 201
        assert server.ask("DELETE", f"/v2/team/app/manifests/{digest}").status == 202
        assert server.stop() == 0
    with serving(tmp_path / "root") as server:
        assert server.ask("GET", "/v2/team/app/manifests/v1").status == 404
        assert server.ask("GET", f"/v2/team/app/blobs/{digest_of(data)}").body == data


def test_an_upload_keeps_what_was_received_before_a_lost_connection(registry: Registry) -> None:
    location = registry.ask("POST", "/v2/cut/blobs/uploads/").headers["Location"]
    host, port = registry.host.split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(
            f"PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode()
            + b"x" * 400
        )
        waiting.until(lambda: registry.ask("GET", "/healthz").status == 200)
    for _ in range(2000):  # until the server has noticed, which only the upload shows
        if (received_range := registry.ask("GET", location).headers["Range"]) != "0-0":
            break
    assert received_range == "0-399"
    rest_response = registry.ask("PATCH", location, b"y" * 600, {"Content-Range": "400-999"})
    assert rest_response.headers["Range"] == "0-999"


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_requests_in_progress_are_finished_on_a_signal(tmp_path: Path, name: signal.Signals) -> None:
    with serving(tmp_path / "root") as server:
        location = server.ask("POST", "/v2/stop/blobs/uploads/").headers["Location"]
        host, port = server.host.split(":")
        with socket.create_connection((host, int(port))) as client:
            digest = digest_of(b"first second")
            head = f"PUT {location}?digest={digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n"
            head += "Expect: 100-continue\r\n\r\n"
            client.sendall(head.encode())
            assert client.recv(100).startswith(b"HTTP/1.1 100")
            client.sendall(b"first ")
            server.process.send_signal(name)
            client.sendall(b"second")
            assert client.recv(1000).startswith(b"HTTP/1.1 201")
        assert server.process.wait(60) == 0


def test_a_client_that_does_not_read_does_not_delay_the_end(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as server:
        digest = server.push_blob("stuck", os.urandom(30 << 20))
        host, port = server.host.split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /v2/stuck/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert client.recv(12) == b"HTTP/1.1 200"
            assert server.stop() == 0


def test_a_second_server_on_a_directory_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "root"):
        message = refused("--root", str(tmp_path / "root"), code=9)
    assert "the directory is in use by another 'pumice serve'" in message


def test_a_busy_port_is_an_error(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as server:
        message = refused("--listen", server.host, "--root", str(tmp_path / "two"))
    assert "address already in use" in message


def test_a_password_is_required_to_push(tmp_path: Path, htpasswd: Path) -> None:
    with serving(tmp_path / "root", "--htpasswd", str(htpasswd)) as server:
        uploads = "/v2/team/app/blobs/uploads/"
        for headers in (None, WRONG, {"Authorization": "Bearer x"}, {"Authorization": "Basic %%%"}):
            response = server.ask("POST", uploads, headers=headers)
            assert (response.status, response.code) == (401, "UNAUTHORIZED")
            assert response.headers["WWW-Authenticate"] == 'Basic realm="pumice"'
        for headers in (ALICE, BOB):
            for _ in range(2):
                assert server.ask("POST", uploads, headers=headers).status == 202
        assert server.ask("GET", "/v2/", headers=ALICE).status == 200
        for headers in (None, WRONG):  # clients learn here that they should send a password
            assert server.ask("GET", "/v2/", headers=headers).status == 401
        assert server.ask("GET", "/v2/team/app/tags/list").status == 404
        assert server.ask("GET", "/v2/team/app/tags/list", headers=WRONG).status == 401


def test_without_anonymous_access_everything_needs_a_password(tmp_path: Path, htpasswd: Path) -> None:
    with serving(tmp_path / "root", "--htpasswd", str(htpasswd), "--anonymous", "none") as server:
        for path in ("/v2/", "/v2/a/tags/list", "/v2/a/manifests/v1"):
            assert server.ask("GET", path).status == 401
        assert server.ask("GET", "/v2/_catalog").json == {"repositories": []}
        assert server.ask("GET", "/healthz").status == 200
        assert server.ask("GET", "/v2/a/tags/list", headers=ALICE).status == 404


def test_the_rule_with_the_longest_prefix_of_path_elements_applies(tmp_path: Path, htpasswd: Path) -> None:
    rules = tmp_path / "access.yaml"
    rules.write_text(
        "'*': {read: [users], write: [alice]}\n"
        "team:\n  read: [anonymous]\n  write: [alice]\n"
        "team/secret: {read: [alice]}\n"
    )
    options = ["--htpasswd", str(htpasswd), "--access", str(rules)]
    with serving(tmp_path / "root", *options) as server:

        def status(method: str, name: str, headers: dict[str, str] | None) -> int:
            path = "blobs/uploads/" if method == "POST" else "tags/list"
            return server.ask(method, f"/v2/{name}/{path}", headers=headers).status

        assert status("GET", "team/app", None) == 404
        assert status("GET", "teams/app", None) == 401
        assert status("GET", "teams/app", BOB) == 404
        assert status("POST", "team/app", BOB) == 403
        assert status("POST", "team/app", ALICE) == 202
        assert status("GET", "team/secret/x", BOB) == 403
        assert status("GET", "team/secret/x", ALICE) == 404
        assert status("POST", "team/secret/x", ALICE) == 403
        assert status("GET", "team/secretive", None) == 404
        response = server.ask(
            "POST", "/v2/team/app/blobs/uploads/", b"private", ALICE, digest=digest_of(b"private")
        )
        assert response.status == 201
        query: dict[str, Any] = {"mount": digest_of(b"private"), "from": "team/app"}
        assert server.ask("POST", "/v2/other/blobs/uploads/", headers=ALICE, **query).status == 201


def test_a_mount_requires_the_right_to_read_the_source(tmp_path: Path, htpasswd: Path) -> None:
    rules = tmp_path / "access.yaml"
    rules.write_text("secret: {write: [alice]}\nopen: {write: [bob]}\n")
    options = ["--htpasswd", str(htpasswd), "--access", str(rules)]
    with serving(tmp_path / "root", *options) as server:
        digest = digest_of(b"secret")
        assert server.ask("POST", "/v2/secret/blobs/uploads/", b"secret", ALICE, digest=digest).status == 201
        for query in ({"mount": digest, "from": "secret"}, {"mount": digest}):
            parameters: dict[str, Any] = query
            assert server.ask("POST", "/v2/open/blobs/uploads/", headers=BOB, **parameters).status == 202
        assert server.ask("GET", f"/v2/open/blobs/{digest}", headers=BOB).status == 404
        assert server.ask("GET", f"/v2/secret/blobs/{digest}", headers=ALICE).body == b"secret"
        assert server.ask("GET", f"/v2/secret/blobs/{digest}", headers=BOB).status == 403
        assert server.ask("GET", f"/v2/secret/blobs/{digest}").status == 401


def test_a_read_only_registry_rejects_all_writes(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as server:
        digest, document = server.push_image("kept", "v1")
    with serving(tmp_path / "root", "--read-only") as server:
        assert server.ask("GET", "/v2/kept/manifests/v1").body == document
        for method, path in (
            ("PUT", "manifests/v1"),
            ("DELETE", f"manifests/{digest}"),
            ("POST", "blobs/uploads/"),
        ):
            response = server.ask(method, f"/v2/kept/{path}", b"x")
            assert (response.status, response.code) == (405, "UNSUPPORTED")


def test_sparse_accepts_manifests_without_their_blobs(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--sparse") as server:
        assert server.put("sparse", "v1", image()).status == 201


def test_https_with_a_password(tmp_path: Path, htpasswd: Path) -> None:
    certificate, key = tls.self_signed(tmp_path)
    options = ["--tls-cert", str(certificate), "--tls-key", str(key), "--htpasswd", str(htpasswd)]
    with serving(tmp_path / "root", *options) as server:
        parts = urlsplit(server.url)
        assert parts.scheme == "https"
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection(parts.netloc, context=context, timeout=30)
        connection.request("GET", "/v2/", headers=ALICE)
        assert connection.getresponse().status == 200
        connection.close()


def test_the_access_log_has_each_request_but_no_password(tmp_path: Path, htpasswd: Path) -> None:
    log = tmp_path / "access.log"
    with serving(tmp_path / "root", "--htpasswd", str(htpasswd), "--access-log", str(log)) as server:
        server.ask("POST", "/v2/team/app/blobs/uploads/", b"12345", ALICE, digest=digest_of(b"12345"))
        server.ask(
            "GET",
            f"/v2/team/app/blobs/{digest_of(b'12345')}",
            headers={"User-Agent": 'a"\n b'.replace("\n", "")},
        )
        server.ask("GET", "/v2/%22%0a%C3%A9/tags/list")
        server.ask("GET", "/v2/", headers=WRONG)
        server.stop()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["status"] for line in lines] == [201, 200, 404, 401]
    first, second, third, _ = lines
    assert (first["user"], first["method"], first["received"]) == ("alice", "POST", 5)
    assert (second["bytes"], second["agent"]) == (5, 'a" b')
    assert third["path"] == '/v2/"\né/tags/list'
    assert first["time"].endswith("Z")
    assert first["client"].startswith("127.0.0.1:")
    assert "Basic" not in log.read_text()


def talk(registry: Registry, data: bytes) -> bytes:
    host, port = registry.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        received = b""
        with suppress(OSError):  # the server may have closed the connection
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while chunk := client.recv(65536):
                received += chunk
        return received


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n0\r\n\r\nGET",
        POST + b"Content-Length: +5\r\n\r\nabcde",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /v2/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
    ],
)
def test_malformed_http_is_rejected_and_the_connection_closed(registry: Registry, data: bytes) -> None:
    received = talk(registry, data)
    assert received == b"" or received.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert received.count(b"HTTP/1.") <= 1
    assert registry.ask("GET", "/v2/").status == 200


def test_a_request_cannot_be_smuggled_in_a_body(registry: Registry) -> None:
    received = talk(
        registry,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /v2/_catalog HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../etc/passwd",
        "/v2/%2e%2e/%2e%2e/etc/manifests/passwd",
        "/v2/a/blobs/..%2f..%2f..%2fetc%2fpasswd",
        "/v2/a/blobs/uploads/..%2f..%2fx",
        "/v2/a/manifests/..",
        "/v2/a/manifests/%00",
        "/v2/a/blobs/sha256:" + "../" * 30,
        "/v2/_blobs/sha256/x/tags/list",
    ],
)
def test_no_path_leads_out_of_the_root_or_reveals_it(registry: Registry, tmp_path: Path, path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        response = registry.ask(method, path, b"x" if method in ("PUT", "PATCH") else None)
        assert 400 <= response.status < 500
        assert str(tmp_path.parent).encode() not in response.body
        assert b"root:" not in response.body
        assert response.json["errors"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "\xff\xfe"},
        {"Content-Type": "\xff"},
        {"Content-Range": "\xff"},
        {"If-Match": "\xff"},
        {"Range": "bytes=" + "1," * 5000 + "2"},
    ],
)
def test_strange_headers_do_not_cause_internal_errors(registry: Registry, headers: dict[str, str]) -> None:
    location = registry.ask("POST", "/v2/strange/blobs/uploads/").headers["Location"]
    digest = registry.push_blob("strange", b"x")
    for method, path in (
        ("GET", f"/v2/strange/blobs/{digest}"),
        ("PUT", "/v2/strange/manifests/v1"),
        ("PATCH", location),
    ):
        response = registry.ask(method, path, b"{}" if method != "GET" else None, headers)
        assert response.status < 500


def test_web_pages_may_not_write(registry: Registry) -> None:
    response = registry.ask("POST", "/v2/x/blobs/uploads/", headers={"Origin": "https://evil.example"})
    assert (response.status, response.code) == (403, "DENIED")


def test_a_damaged_blob_or_manifest_is_an_error_without_details(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as server:
        digest, _ = server.push_image("damaged", "v1")
    for file in (tmp_path / "root").rglob("*"):
        if file.is_file() and digest.partition(":")[2] in file.name and file.stat().st_size:
            file.chmod(0o644)
            file.write_bytes(b"damaged")
    with serving(tmp_path / "root") as server:
        response = server.ask("GET", "/v2/damaged/manifests/v1")
        assert response.status >= 400
        assert str(tmp_path).encode() not in response.body


@pytest.mark.concurrency
def test_two_hundred_clients_can_pull_at_once(registry: Registry) -> None:
    layer = os.urandom(300_000)
    registry.push_image("popular", "v1", layer)
    path = f"/v2/popular/blobs/{digest_of(layer)}"
    failed: list[object] = []

    def pull() -> None:
        failed.extend(path for _ in range(3) if registry.ask("GET", path).body != layer)

    threads = [threading.Thread(target=pull) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.mark.concurrency
def test_concurrent_pushes_of_a_tag_leave_it_at_one_of_the_manifests(registry: Registry) -> None:
    documents = []
    for number in range(12):
        registry.push_blob("busy", b"{}")
        layer = str(number).encode()
        registry.push_blob("busy", layer)
        documents.append(image(layer))
    threads = [
        threading.Thread(target=registry.put, args=("busy", "latest", document)) for document in documents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    response = registry.ask("GET", "/v2/busy/manifests/latest")
    assert response.body in documents
    assert response.headers["Docker-Content-Digest"] == digest_of(response.body)
    for document in documents:
        assert registry.ask("HEAD", f"/v2/busy/manifests/{digest_of(document)}").status == 200


def test_invalid_options_are_rejected(tmp_path: Path, htpasswd: Path) -> None:
    root = ("--root", str(tmp_path / "root"))
    assert "is not HOST:PORT" in refused("--listen", "nonsense", *root)
    assert "is not HOST:PORT" in refused("--listen", "127.0.0.1:99999", *root)
    assert "is not an address of this machine" in refused("--listen", "no such host:0", *root)
    assert "must be given together" in refused("--tls-cert", str(htpasswd), *root)
    options = ("--tls-cert", str(htpasswd), "--tls-key", str(htpasswd))
    assert "not a PEM certificate" in refused(*options, *root)
    assert "no such file" in refused("--htpasswd", str(tmp_path / "none"), *root)
    assert "is a directory" in refused("--htpasswd", str(tmp_path), *root)
    assert "is a directory" in refused("--access-log", str(tmp_path), *root)
    assert "--anonymous none denies everything" in refused("--anonymous", "none", *root)
    assert "is not a number of hours" in refused("--gc", "nan", *root)
    assert "is not a number of hours" in refused("--keep-untagged", "-1", *root)
    assert "not empty and not a registry" in refused("--root", str(tmp_path), code=9)
    message = refused("--listen", "0.0.0.0:0", "--htpasswd", str(htpasswd), *root)
    assert "passwords would be sent over the network unencrypted" in message
    assert not (tmp_path / "root").exists()


def test_problems_of_configuration_files_have_file_and_line(tmp_path: Path, htpasswd: Path) -> None:
    invalid_file = tmp_path / "bad"
    invalid_file.write_text("alice\nbob:{SHA}abc\n\ncarol:$2y$31$" + "a" * 53 + "\nusers:x\n")
    message = refused("--htpasswd", str(invalid_file))
    for location_and_message in (
        ":1:1: the line is not of the form 'user:hash'",
        ":2:1: the password is not hashed",
        ":4:1: the bcrypt cost 31",
        ":5:1: ",
    ):
        assert f"{invalid_file}{location_and_message}" in message
    rules = tmp_path / "rules.yaml"
    rules.write_text("Team: {read: [alice]}\nteam:\n  raed: [alice]\n  write: [alicce]\nx: [y]\nteam: {}\n")
    message = refused("--htpasswd", str(htpasswd), "--access", str(rules))
    for location_and_message in (
        ":1:1: 'Team' is not a valid repository prefix",
        ":3:3: unknown key 'raed' in a rule",
        ":4:11: unknown user",
        ":5:4: a rule",
    ):
        assert f"{rules}{location_and_message}" in message
    assert "did you mean 'read'?" in message
    assert "did you mean 'alice'?" in message
    assert f"{rules}:6:1: duplicate key 'team'" in message


def test_other_addresses_are_read_only_by_default(tmp_path: Path) -> None:
    with serving(tmp_path / "root", listen="0.0.0.0:0") as server:
        port = server.host.rpartition(":")[2]
        near = Registry(f"http://127.0.0.1:{port}", server.process)
        assert near.ask("GET", "/v2/").status == 200
        assert near.ask("POST", "/v2/x/blobs/uploads/").code == "DENIED"
    with serving(tmp_path / "root", "--anonymous", "write", listen="0.0.0.0:0") as server:
        port = server.host.rpartition(":")[2]
        near = Registry(f"http://127.0.0.1:{port}", server.process)
        assert near.ask("POST", "/v2/x/blobs/uploads/").status == 202


def test_an_index_is_accepted_after_its_manifests(registry: Registry) -> None:
    _, manifest = registry.push_image("children", "one")
    document = json.dumps(
        {
            "schemaVersion": 2,
            "manifests": [descriptor(manifest, "application/vnd.oci.image.manifest.v1+json")],
        }
    ).encode()
    assert registry.put("children", "all", document, "application/json").status == 201
