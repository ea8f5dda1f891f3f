"""``pumice serve``: addresses, passwords, rules, logs, attacks, and its end."""

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

from tests.support import tls
from tests.support.serving import Registry, descriptor, digest_of, image, serving

ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice:correct horse").decode()}
BOB = {"Authorization": "Basic " + base64.b64encode("bob:pässword".encode()).decode()}
POST = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\n"
WRONG = {"Authorization": "Basic " + base64.b64encode(b"alice:wrong").decode()}


def refused(*options: str, code: int = 2) -> str:
    """Run the verb with what it must refuse; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "pumice", "serve", "--listen", "127.0.0.1:0", *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    return done.stderr


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
    with serving(tmp_path_factory.mktemp("registry") / "root") as one:
        yield one


def test_everything_is_there_after_a_restart_and_uploads_go_on(tmp_path: Path) -> None:
    data = b"resumed" * 100_000
    with serving(tmp_path / "root") as one:
        digest, document = one.push_image("team/app", "v1")
        place = one.ask("POST", "/v2/team/app/blobs/uploads/").headers["Location"]
        assert one.ask("PATCH", place, data[:300_000]).status == 202
        one.kill()
    with serving(tmp_path / "root") as one:
        assert one.ask("GET", "/v2/team/app/manifests/v1").body == document
        assert one.ask("GET", place).headers["Range"] == "0-299999"
        done = one.ask("PATCH", place, data[300_000:], {"Content-Range": f"300000-{len(data) - 1}"})
        assert done.status == 202
        assert one.ask("PUT", place, digest=digest_of(data)).status == 201
        assert one.ask("DELETE", f"/v2/team/app/manifests/{digest}").status == 202
        assert one.stop() == 0
    with serving(tmp_path / "root") as one:
        assert one.ask("GET", "/v2/team/app/manifests/v1").status == 404
        assert one.ask("GET", f"/v2/team/app/blobs/{digest_of(data)}").body == data


def test_what_was_received_before_a_cut_stays(registry: Registry) -> None:
    place = registry.ask("POST", "/v2/cut/blobs/uploads/").headers["Location"]
    host, port = registry.host.split(":")
    with socket.create_connection((host, int(port))) as one:
        one.sendall(
            f"PATCH {place} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n".encode() + b"x" * 400
        )
        while registry.ask("GET", "/healthz").status != 200:
            pass
    for _ in range(2000):  # until the server has noticed, which nothing tells but the upload itself
        if (seen := registry.ask("GET", place).headers["Range"]) != "0-0":
            break
    assert seen == "0-399"
    rest = registry.ask("PATCH", place, b"y" * 600, {"Content-Range": "400-999"})
    assert rest.headers["Range"] == "0-999"


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_comes_to_its_end(tmp_path: Path, name: signal.Signals) -> None:
    with serving(tmp_path / "root") as one:
        place = one.ask("POST", "/v2/stop/blobs/uploads/").headers["Location"]
        host, port = one.host.split(":")
        with socket.create_connection((host, int(port))) as client:
            digest = digest_of(b"first second")
            head = f"PUT {place}?digest={digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n"
            head += "Expect: 100-continue\r\n\r\n"
            client.sendall(head.encode())
            assert client.recv(100).startswith(b"HTTP/1.1 100")
            client.sendall(b"first ")
            one.process.send_signal(name)
            client.sendall(b"second")
            assert client.recv(1000).startswith(b"HTTP/1.1 201")
        assert one.process.wait(60) == 0


def test_a_client_that_takes_nothing_does_not_keep_the_server(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as one:
        digest = one.push_blob("stuck", os.urandom(30 << 20))
        host, port = one.host.split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /v2/stuck/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert client.recv(12) == b"HTTP/1.1 200"
            assert one.stop() == 0


def test_one_directory_has_one_server(tmp_path: Path) -> None:
    with serving(tmp_path / "root"):
        said = refused("--root", str(tmp_path / "root"), code=9)
    assert "the directory is in use by another 'pumice serve'" in said


def test_a_busy_port_is_told(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as one:
        said = refused("--listen", one.host, "--root", str(tmp_path / "two"))
    assert "address already in use" in said


def test_passwords_open_what_is_closed(tmp_path: Path, htpasswd: Path) -> None:
    with serving(tmp_path / "root", "--htpasswd", str(htpasswd)) as one:
        uploads = "/v2/team/app/blobs/uploads/"
        for headers in (None, WRONG, {"Authorization": "Bearer x"}, {"Authorization": "Basic %%%"}):
            answer = one.ask("POST", uploads, headers=headers)
            assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
            assert answer.headers["WWW-Authenticate"] == 'Basic realm="pumice"'
        for headers in (ALICE, BOB):
            for _ in range(2):
                assert one.ask("POST", uploads, headers=headers).status == 202
        assert one.ask("GET", "/v2/", headers=ALICE).status == 200
        for headers in (None, WRONG):  # where clients learn that passwords help
            assert one.ask("GET", "/v2/", headers=headers).status == 401
        assert one.ask("GET", "/v2/team/app/tags/list").status == 404
        assert one.ask("GET", "/v2/team/app/tags/list", headers=WRONG).status == 401


def test_nothing_is_told_without_a_password(tmp_path: Path, htpasswd: Path) -> None:
    with serving(tmp_path / "root", "--htpasswd", str(htpasswd), "--anonymous", "none") as one:
        for path in ("/v2/", "/v2/a/tags/list", "/v2/a/manifests/v1"):
            assert one.ask("GET", path).status == 401
        assert one.ask("GET", "/v2/_catalog").json == {"repositories": []}
        assert one.ask("GET", "/healthz").status == 200
        assert one.ask("GET", "/v2/a/tags/list", headers=ALICE).status == 404


def test_rules_are_by_path_elements_and_the_longest_counts(tmp_path: Path, htpasswd: Path) -> None:
    rules = tmp_path / "access.yaml"
    rules.write_text(
        "'*': {read: [users], write: [alice]}\n"
        "team:\n  read: [anonymous]\n  write: [alice]\n"
        "team/secret: {read: [alice]}\n"
    )
    options = ["--htpasswd", str(htpasswd), "--access", str(rules)]
    with serving(tmp_path / "root", *options) as one:

        def status(method: str, name: str, headers: dict[str, str] | None) -> int:
            path = "blobs/uploads/" if method == "POST" else "tags/list"
            return one.ask(method, f"/v2/{name}/{path}", headers=headers).status

        assert status("GET", "team/app", None) == 404
        assert status("GET", "teams/app", None) == 401
        assert status("GET", "teams/app", BOB) == 404
        assert status("POST", "team/app", BOB) == 403
        assert status("POST", "team/app", ALICE) == 202
        assert status("GET", "team/secret/x", BOB) == 403
        assert status("GET", "team/secret/x", ALICE) == 404
        assert status("POST", "team/secret/x", ALICE) == 403
        assert status("GET", "team/secretive", None) == 404
        begun = one.ask(
            "POST", "/v2/team/app/blobs/uploads/", b"private", ALICE, digest=digest_of(b"private")
        )
        assert begun.status == 201
        query: dict[str, Any] = {"mount": digest_of(b"private"), "from": "team/app"}
        assert one.ask("POST", "/v2/other/blobs/uploads/", headers=ALICE, **query).status == 201


def test_a_mount_takes_nothing_that_may_not_be_read(tmp_path: Path, htpasswd: Path) -> None:
    rules = tmp_path / "access.yaml"
    rules.write_text("secret: {write: [alice]}\nopen: {write: [bob]}\n")
    options = ["--htpasswd", str(htpasswd), "--access", str(rules)]
    with serving(tmp_path / "root", *options) as one:
        digest = digest_of(b"secret")
        assert one.ask("POST", "/v2/secret/blobs/uploads/", b"secret", ALICE, digest=digest).status == 201
        for query in ({"mount": digest, "from": "secret"}, {"mount": digest}):
            named: dict[str, Any] = query
            assert one.ask("POST", "/v2/open/blobs/uploads/", headers=BOB, **named).status == 202
        assert one.ask("GET", f"/v2/open/blobs/{digest}", headers=BOB).status == 404
        assert one.ask("GET", f"/v2/secret/blobs/{digest}", headers=ALICE).body == b"secret"
        assert one.ask("GET", f"/v2/secret/blobs/{digest}", headers=BOB).status == 403
        assert one.ask("GET", f"/v2/secret/blobs/{digest}").status == 401


def test_read_only_is_read_only(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as one:
        digest, document = one.push_image("kept", "v1")
    with serving(tmp_path / "root", "--read-only") as one:
        assert one.ask("GET", "/v2/kept/manifests/v1").body == document
        for method, path in (
            ("PUT", "manifests/v1"),
            ("DELETE", f"manifests/{digest}"),
            ("POST", "blobs/uploads/"),
        ):
            answer = one.ask(method, f"/v2/kept/{path}", b"x")
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")


def test_sparse_takes_what_is_not_whole(tmp_path: Path) -> None:
    with serving(tmp_path / "root", "--sparse") as one:
        assert one.put("sparse", "v1", image()).status == 201


def test_https_with_a_password(tmp_path: Path, htpasswd: Path) -> None:
    certificate, key = tls.self_signed(tmp_path)
    options = ["--tls-cert", str(certificate), "--tls-key", str(key), "--htpasswd", str(htpasswd)]
    with serving(tmp_path / "root", *options) as one:
        parts = urlsplit(one.url)
        assert parts.scheme == "https"
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection(parts.netloc, context=context, timeout=30)
        connection.request("GET", "/v2/", headers=ALICE)
        assert connection.getresponse().status == 200
        connection.close()


def test_the_access_log_tells_who_did_what_and_no_secret(tmp_path: Path, htpasswd: Path) -> None:
    log = tmp_path / "access.log"
    with serving(tmp_path / "root", "--htpasswd", str(htpasswd), "--access-log", str(log)) as one:
        one.ask("POST", "/v2/team/app/blobs/uploads/", b"12345", ALICE, digest=digest_of(b"12345"))
        one.ask(
            "GET",
            f"/v2/team/app/blobs/{digest_of(b'12345')}",
            headers={"User-Agent": 'a"\n b'.replace("\n", "")},
        )
        one.ask("GET", "/v2/%22%0a%C3%A9/tags/list")
        one.ask("GET", "/v2/", headers=WRONG)
        one.stop()
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
    with socket.create_connection((host, int(port)), timeout=30) as one:
        one.sendall(data)
        with suppress(OSError):  # the server may have ended it by now
            one.shutdown(socket.SHUT_WR)
        taken = b""
        while chunk := one.recv(65536):
            taken += chunk
        return taken


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n0\r\n\r\nGET",
        POST + b"Content-Length: +5\r\n\r\nabcde",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /v2/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NONSENSE\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_connection_ends(registry: Registry, data: bytes) -> None:
    taken = talk(registry, data)
    assert taken == b"" or taken.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert taken.count(b"HTTP/1.") <= 1
    assert registry.ask("GET", "/v2/").status == 200


def test_no_second_request_is_smuggled(registry: Registry) -> None:
    taken = talk(
        registry,
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /v2/_catalog HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    assert taken.count(b"HTTP/1.1 ") == 1


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
def test_no_path_leaves_the_root_or_names_it(registry: Registry, tmp_path: Path, path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = registry.ask(method, path, b"x" if method in ("PUT", "PATCH") else None)
        assert 400 <= answer.status < 500
        assert str(tmp_path.parent).encode() not in answer.body
        assert b"root:" not in answer.body
        assert answer.json["errors"]


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
def test_strange_headers_are_no_failures_of_ours(registry: Registry, headers: dict[str, str]) -> None:
    place = registry.ask("POST", "/v2/strange/blobs/uploads/").headers["Location"]
    digest = registry.push_blob("strange", b"x")
    for method, path in (
        ("GET", f"/v2/strange/blobs/{digest}"),
        ("PUT", "/v2/strange/manifests/v1"),
        ("PATCH", place),
    ):
        answer = registry.ask(method, path, b"{}" if method != "GET" else None, headers)
        assert answer.status < 500


def test_web_pages_may_not_write(registry: Registry) -> None:
    answer = registry.ask("POST", "/v2/x/blobs/uploads/", headers={"Origin": "https://evil.example"})
    assert (answer.status, answer.code) == (403, "DENIED")


def test_a_damaged_blob_or_manifest_is_an_error_without_details(tmp_path: Path) -> None:
    with serving(tmp_path / "root") as one:
        digest, _ = one.push_image("damaged", "v1")
    for file in (tmp_path / "root").rglob("*"):
        if file.is_file() and digest.partition(":")[2] in file.name and file.stat().st_size:
            file.chmod(0o644)
            file.write_bytes(b"damaged")
    with serving(tmp_path / "root") as one:
        answer = one.ask("GET", "/v2/damaged/manifests/v1")
        assert answer.status >= 400
        assert str(tmp_path).encode() not in answer.body


@pytest.mark.concurrency
def test_two_hundred_pull_at_once(registry: Registry) -> None:
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
def test_the_same_tag_from_many_sides_ends_at_one_of_them(registry: Registry) -> None:
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
    got = registry.ask("GET", "/v2/busy/manifests/latest")
    assert got.body in documents
    assert got.headers["Docker-Content-Digest"] == digest_of(got.body)
    for document in documents:
        assert registry.ask("HEAD", f"/v2/busy/manifests/{digest_of(document)}").status == 200


def test_worst_options(tmp_path: Path, htpasswd: Path) -> None:
    root = ("--root", str(tmp_path / "root"))
    assert "is not HOST:PORT" in refused("--listen", "nonsense", *root)
    assert "is not HOST:PORT" in refused("--listen", "127.0.0.1:99999", *root)
    assert "is not an address of this machine" in refused("--listen", "no such host:0", *root)
    assert "must be given together" in refused("--tls-cert", str(htpasswd), *root)
    both = ("--tls-cert", str(htpasswd), "--tls-key", str(htpasswd))
    assert "not a PEM certificate" in refused(*both, *root)
    assert "no such file" in refused("--htpasswd", str(tmp_path / "none"), *root)
    assert "is a directory" in refused("--htpasswd", str(tmp_path), *root)
    assert "is a directory" in refused("--access-log", str(tmp_path), *root)
    assert "--anonymous none denies everything" in refused("--anonymous", "none", *root)
    assert "is not a number of hours" in refused("--gc", "nan", *root)
    assert "is not a number of hours" in refused("--keep-untagged", "-1", *root)
    assert "not empty and not a registry" in refused("--root", str(tmp_path), code=9)
    said = refused("--listen", "0.0.0.0:0", "--htpasswd", str(htpasswd), *root)
    assert "passwords would be sent over the network unencrypted" in said
    assert not (tmp_path / "root").exists()


def test_the_configuration_is_told_with_its_places(tmp_path: Path, htpasswd: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("alice\nbob:{SHA}abc\n\ncarol:$2y$31$" + "a" * 53 + "\nusers:x\n")
    said = refused("--htpasswd", str(bad))
    for place in (
        ":1:1: the line is not of the form 'user:hash'",
        ":2:1: the password is not hashed",
        ":4:1: the bcrypt cost 31",
        ":5:1: ",
    ):
        assert f"{bad}{place}" in said
    rules = tmp_path / "rules.yaml"
    rules.write_text("Team: {read: [alice]}\nteam:\n  raed: [alice]\n  write: [alicce]\nx: [y]\nteam: {}\n")
    said = refused("--htpasswd", str(htpasswd), "--access", str(rules))
    for place in (
        ":1:1: 'Team' is not a valid repository prefix",
        ":3:3: unknown key 'raed' in a rule",
        ":4:11: unknown user",
        ":5:4: a rule",
    ):
        assert f"{rules}{place}" in said
    assert "did you mean 'read'?" in said
    assert "did you mean 'alice'?" in said
    assert f"{rules}:6:1: the key 'team' is there twice" in said


def test_other_addresses_are_closed_until_opened(tmp_path: Path) -> None:
    with serving(tmp_path / "root", listen="0.0.0.0:0") as one:
        port = one.host.rpartition(":")[2]
        near = Registry(f"http://127.0.0.1:{port}", one.process)
        assert near.ask("GET", "/v2/").status == 200
        assert near.ask("POST", "/v2/x/blobs/uploads/").code == "DENIED"
    with serving(tmp_path / "root", "--anonymous", "write", listen="0.0.0.0:0") as one:
        port = one.host.rpartition(":")[2]
        near = Registry(f"http://127.0.0.1:{port}", one.process)
        assert near.ask("POST", "/v2/x/blobs/uploads/").status == 202


def test_an_index_finds_its_children(registry: Registry) -> None:
    _, one = registry.push_image("children", "one")
    document = json.dumps(
        {"schemaVersion": 2, "manifests": [descriptor(one, "application/vnd.oci.image.manifest.v1+json")]}
    ).encode()
    assert registry.put("children", "all", document, "application/json").status == 201
