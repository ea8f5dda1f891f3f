"""``pumice fetch`` from servers that answer with anything: clear errors, and nothing stored."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pumice.formats import torrent
from pumice.store.home import Home
from tests.support import images, tls, websites
from tests.support import registry as registries
from tests.support.publishers import NAME, Publisher, enter_home, read_fingerprint, run
from tests.support.registry import Registry
from tests.support.websites import Website

Out = pytest.CaptureFixture[str]
FILE = "aci/127.0.0.1/hello-1.0-linux-amd64.aci"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    extra = "location /loop { return 302 /loop; } location /out { return 302 http://127.0.0.1:1/; }"
    with websites.serving(tmp_path / "www", tmp_path / "nginx", extra) as site:
        yield site


@pytest.fixture
def publisher(
    site: Website, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> Iterator[Publisher]:
    enter_home(tmp_path, monkeypatch)
    publisher = Publisher(site, capsys, tmp_path)
    yield publisher
    with Home(tmp_path / "store") as home:
        assert all(name.startswith("127.0.0.1/good") for name in home.refs.names())
        assert home.refs.names() or not list(home.blobs.digests())


@pytest.mark.parametrize(
    ("template", "message", "code"),
    [
        ("file://127.0.0.1/etc/{name}.{ext}", "the scheme 'file'", 6),
        ("ftp://127.0.0.1/{name}.{ext}", "the scheme 'ftp'", 6),
        ("http://127.0.0.1/{name}.{ext}", "refusing http", 6),
        ("https://ada:secret@127.0.0.1/{name}.{ext}", "the URL is not valid", 6),
        ("https://127.0.0.1:{version}/{name}.{ext}", "the URL is not valid", 6),
    ],
)
def test_urls_of_pages_that_must_not_be_followed(
    publisher: Publisher, template: str, message: str, code: int
) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    publisher.write_page(f"ac-discovery=127.0.0.1 {template}", path="hello")
    _, err = publisher.fetch(f"{NAME}:1.x", code=code)
    assert message in err
    assert "secret" not in err


@pytest.mark.parametrize(
    ("path", "message"), [("loop", "redirects in a loop"), ("out", "refusing http: the connection")]
)
def test_redirects_of_images_that_must_not_be_followed(publisher: Publisher, path: str, message: str) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    target = f"{publisher.site.url}/{path}/{{name}}.{{ext}}"
    publisher.write_page(f"ac-discovery=127.0.0.1 {target}", path="hello")
    assert message in publisher.fetch(f"{NAME}:1.0", code=6)[1]
    publisher.write_page("ac-discovery=127.0.0.1 x")
    assert message in publisher.fetch(f"127.0.0.1/{path}/a:1.0", code=6)[1]


def test_a_page_of_100_megabytes_is_not_read(publisher: Publisher) -> None:
    page = publisher.site.root / "hello" / "index.html"
    page.parent.mkdir()
    with page.open("wb") as file:
        file.write(b"<head>")
        file.truncate(100_000_000)
    assert "the head of the discovery page does not end" in publisher.fetch(NAME, code=8)[1]


def test_the_next_endpoint_is_tried_with_a_warning(publisher: Publisher) -> None:
    publisher.publish(publisher.write(name="127.0.0.1/good"))
    publisher.trust()
    publisher.write_page(
        "ac-discovery=127.0.0.1 hdfs://storage.example/{name}.{ext}",
        f"ac-discovery=127.0.0.1 {publisher.site.url}/none/{{name}}.{{ext}}",
        f"ac-discovery=127.0.0.1 {publisher.site.url}/aci/{{name}}-{{version}}-{{os}}-{{arch}}.{{ext}}",
        path="good",
    )
    out, err = publisher.fetch("127.0.0.1/good:1.0")
    assert out == "127.0.0.1/good:1.0\n"
    assert "the scheme 'hdfs'" in err
    assert "the image has no signature there" in err


@pytest.mark.parametrize(
    "content", [b"", b"x" * 2_000_000, b"-----BEGIN PGP SIGNATURE-----\nabc", b"\x88\x00"]
)
def test_a_file_that_is_no_signature_saves_the_download(publisher: Publisher, content: bytes) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    (publisher.site.root / f"{FILE}.asc").write_bytes(content)
    _, err = publisher.fetch(f"{NAME}:1.0", code=8 if len(content) > 1_000_000 else 7)
    assert "signature" in err
    assert not any(line.startswith(f"GET /{FILE} ") for line in publisher.site.requests())


def test_a_signature_that_is_replaced_during_the_download_is_fetched_again(publisher: Publisher) -> None:
    """The first signature is by the right key, but of another image."""
    publisher.publish(publisher.write(name="127.0.0.1/good"))
    publisher.publish(publisher.write("2.0", name="127.0.0.1/good", motd=b"another"))
    publisher.trust()
    folder = publisher.site.root / "aci/127.0.0.1"
    (folder / "good-1.0-linux-amd64.aci.asc").write_bytes(
        (folder / "good-2.0-linux-amd64.aci.asc").read_bytes()
    )
    assert "is not what" in publisher.fetch("127.0.0.1/good:1.0", code=7)[1]
    requests = [line for line in publisher.site.requests() if "good-1.0" in line and ".asc" in line]
    assert len(requests) == 2


def test_a_key_that_the_page_of_a_stranger_has_is_not_trusted_without_its_fingerprint(
    publisher: Publisher, capsys: Out
) -> None:
    publisher.publish(publisher.write())
    prefix = ("--prefix", "127.0.0.1", *publisher.connection)
    assert "there is no terminal" in run(capsys, "trust", "add", *prefix, code=7)[1]
    _, err = run(capsys, "trust", "add", *prefix, "--fingerprint", "00" * 20, code=7)
    assert publisher.fingerprint in err
    assert "do not trust the key" in err
    publisher.fetch(f"{NAME}:1.0", code=7)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"no key", 8), (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", 8), (b"x" * 2_000_000, 8)],
)
def test_a_file_that_is_no_key_is_refused(
    publisher: Publisher, capsys: Out, content: bytes, code: int
) -> None:
    publisher.publish(publisher.write())
    (key,) = (publisher.site.root / "keys").iterdir()
    key.write_bytes(content)
    prefix = ("--prefix", "127.0.0.1", "--fingerprint", publisher.fingerprint, *publisher.connection)
    assert "key" in run(capsys, "trust", "add", *prefix, code=8)[1]


def test_dependencies_are_fetched_and_checked_too(publisher: Publisher, capsys: Out) -> None:
    publisher.publish(publisher.write(name="127.0.0.1/base", motd=b"base"))
    base = publisher.image_id
    dependency = {"imageName": "127.0.0.1/base", "labels": [{"name": "version", "value": "1.0"}]}
    publisher.publish(publisher.write(name="127.0.0.1/good", dependencies=[{**dependency, "imageID": base}]))
    wrong = {**dependency, "imageID": "sha512-" + "0" * 128}
    publisher.publish(publisher.write("2.0", name="127.0.0.1/good", dependencies=[wrong]))
    publisher.trust()
    publisher.fetch("127.0.0.1/good:1.0")
    layers = json.loads(run(capsys, "manifest", "127.0.0.1/good:1.0")[0])["layers"]
    assert len(layers) == 2
    assert "has the ID" in publisher.fetch("127.0.0.1/good:2.0", code=8)[1]


def test_an_image_in_a_registry_must_be_signed_under_the_name_that_was_asked_for(
    publisher: Publisher, tmp_path: Path, capsys: Out
) -> None:
    registry = Registry()
    with registries.serving(registry) as host:
        with Home(tmp_path / "store") as home:
            images.make(home, [{"etc/motd": "hello"}], name="127.0.0.1/good:1.0")
        run(capsys, "key", "generate", "--output", "cosign")
        run(capsys, "push", "127.0.0.1/good:1.0", f"docker://{host}/apps/good:1.0")
        run(capsys, "rm", "127.0.0.1/good:1.0")
        publisher.write_page(f"pumice-discovery-oci=127.0.0.1 docker://{host}/apps/{{suffix}}:{{version}}")
        # --ca is about web servers with TLS, and the registry on this machine has none.
        options = ("--tls-verify=false", "--port", str(publisher.site.port))
        assert "not signed" in run(capsys, "fetch", "127.0.0.1/good:1.0", *options, code=7)[1]
        fingerprint = read_fingerprint("cosign.pub")
        trust = ("trust", "add", "--prefix", "127.0.0.1/good", "cosign.pub", "--fingerprint", fingerprint)
        run(capsys, *trust)
        run(
            capsys,
            "sign",
            f"docker://{host}/apps/good:1.0",
            "--key",
            "cosign.key",
            "--as",
            "127.0.0.1/bad:1.0",
        )
        assert "127.0.0.1/bad:1.0" in run(capsys, "fetch", "127.0.0.1/good:1.0", *options, code=7)[1]
        run(
            capsys,
            "sign",
            f"docker://{host}/apps/good:1.0",
            "--key",
            "cosign.key",
            "--as",
            "127.0.0.1/good:1.0",
        )
        assert run(capsys, "fetch", "127.0.0.1/good:1.0", *options)[0] == "127.0.0.1/good:1.0\n"
        run(capsys, "verify", "127.0.0.1/good:1.0")


@contextmanager
def cutting(site: Website, certificate: tuple[Path, Path], after: int) -> Iterator[int]:
    """Give the port of a relay to a web server that closes each connection after some bytes of a response."""
    listener = socket.create_server(("127.0.0.1", 0))
    context = tls.server(*certificate)
    upstream = ssl.create_default_context(cafile=site.ca)
    upstream.check_hostname = False

    def relay(raw: socket.socket) -> None:
        try:
            with (
                context.wrap_socket(raw, server_side=True) as client,
                socket.create_connection(("127.0.0.1", site.port)) as plain,
                upstream.wrap_socket(plain) as server,
            ):
                request = client.recv(65536)
                server.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                count = 0
                while count < after and (data := server.recv(min(65536, after - count))):
                    client.sendall(data)
                    count += len(data)
        except OSError:
            pass  # a client may go away at any time

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def test_a_download_resumes_when_its_connections_are_cut(publisher: Publisher, capsys: Out) -> None:
    site = publisher.site
    publisher.publish(publisher.write(name="127.0.0.1/good", motd=os.urandom(1_000_000)))
    publisher.trust()
    certificate = (site.ca, site.ca.with_suffix(".key"))
    with cutting(site, certificate, 300_000) as port:
        publisher.write_page(
            f"ac-discovery=127.0.0.1 https://127.0.0.1:{port}/aci/{{name}}-{{version}}-{{os}}-{{arch}}.{{ext}}",
            path="good",
        )
        assert publisher.fetch("127.0.0.1/good:1.0")[0] == "127.0.0.1/good:1.0\n"
    statuses = [line.split()[2] for line in site.requests() if line.split()[1].endswith("amd64.aci")]
    assert statuses[0] == "200"
    assert statuses[1:] == ["206"] * (len(statuses) - 1)
    assert len(statuses) >= 4


def test_a_torrent_of_garbage_is_not_used(publisher: Publisher) -> None:
    publisher.publish(
        publisher.write(name="127.0.0.1/good", motd=os.urandom(2_000_000)), options=("--torrent",)
    )
    publisher.trust()
    path = publisher.site.root / "aci/127.0.0.1/good-1.0-linux-amd64.aci"
    size = path.stat().st_size
    garbage = torrent.make_torrent(
        path.name, size, iter([bytes(size)]), trackers=(), web_seeds=(), with_v1=True
    )
    path.with_name(f"{path.name}.torrent").write_bytes(garbage)
    out, err = publisher.fetch("127.0.0.1/good:1.0")
    assert out == "127.0.0.1/good:1.0\n"
    assert "the torrent is for other content than the server has" in err
    assert "signed by a trusted key" in err
