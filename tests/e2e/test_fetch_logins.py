"""Logins of ``pumice fetch``, connections without TLS, and the question about a key."""

from __future__ import annotations

import base64
import http.server
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import websites
from tests.support.publishers import NAME, Publisher, enter_home, run
from tests.support.websites import Website

Out = pytest.CaptureFixture[str]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    # The password is "open sesame", in the format of Apache.
    (tmp_path / "users").write_text("ada:{PLAIN}open sesame\n")
    extra = f'location /aci {{ auth_basic "images"; auth_basic_user_file {tmp_path}/users; }}'
    with websites.serving(tmp_path / "www", tmp_path / "nginx", extra) as site:
        yield site


@pytest.fixture
def publisher(site: Website, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> Publisher:
    enter_home(tmp_path, monkeypatch)
    publisher = Publisher(site, capsys, tmp_path)
    publisher.publish(publisher.write())
    return publisher


def test_images_behind_a_login(publisher: Publisher, tmp_path: Path) -> None:
    publisher.trust()
    _, err = publisher.fetch(f"{NAME}:1.0", code=6)
    assert "401 Unauthorized" in err
    assert "pass --creds USER" in err
    publisher.fetch(f"{NAME}:1.0", "--creds", "ada:wrong", code=6)
    publisher.fetch(f"{NAME}:1.0", "--creds", "ada:open sesame")
    login = base64.b64encode(b"ada:open sesame").decode()
    for path in (tmp_path / "store").glob("refs/*"):
        path.unlink()
    host = f"127.0.0.1:{publisher.site.port}"
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
    publisher.fetch(f"{NAME}:1.0")


def test_a_login_is_not_sent_without_tls(tmp_path: Path, capsys: Out, publisher: Publisher) -> None:
    seen: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(
                b'<head><meta name="ac-discovery" content="127.0.0.1 https://127.0.0.1/{name}.{ext}"></head>'
            )

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        connection = ("--port", str(server.server_port), "--creds", "ada:open sesame")
        _, err = run(capsys, "discover", NAME, *connection, code=6)
        assert "does not support TLS" in err
        assert seen == []
        out, err = run(capsys, "discover", NAME, *connection, "--tls-verify=false")
        assert "https://127.0.0.1/127.0.0.1/hello.aci" in out
        assert "the connection is not protected" in err
        assert set(seen) == {None}
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 7)])
def test_a_discovered_key_is_shown_on_the_terminal_and_asked_about(
    publisher: Publisher, answer: str, code: int
) -> None:
    controller, terminal = pty.openpty()
    command = ("trust", "add", "--prefix", "127.0.0.1", *publisher.connection)
    with subprocess.Popen(
        [sys.executable, "-m", "pumice", *command], stdin=terminal, stdout=subprocess.PIPE, stderr=terminal
    ) as process:
        os.close(terminal)
        os.write(controller, f"{answer}\n".encode())
        assert process.stdout is not None
        out = process.stdout.read().decode()
        assert process.wait() == code
    shown = os.read(controller, 65536).decode()
    os.close(controller)
    assert f"fingerprint  {publisher.fingerprint}" in shown
    assert "user ID      Ada <ada@example.com>" in shown
    assert (publisher.fingerprint in out) == (code == 0)
    publisher.fetch(f"{NAME}:1.0", "--creds", "ada:open sesame", code=code)


def test_an_image_whose_key_is_revoked_is_not_admitted_any_more(publisher: Publisher, capsys: Out) -> None:
    publisher.trust()
    publisher.fetch(f"{NAME}:1.0", "--creds", "ada:open sesame")
    run(capsys, "verify", f"{NAME}:1.0")
    run(capsys, "trust", "revoke", publisher.fingerprint, "--reason", "stolen")
    assert "stolen" in run(capsys, "verify", f"{NAME}:1.0", code=7)[1]
    run(capsys, "run", f"{NAME}:1.0", "/x", code=7)
