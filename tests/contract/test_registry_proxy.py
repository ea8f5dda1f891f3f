"""``pumice serve --proxy``: the images of another registry are served, cached, and available without it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images
from tests.support import registry as memory
from tests.support.serving import INDEX, MANIFEST, Registry, descriptor, digest_of, image, serving

STALE = '299 - "the upstream registry cannot be reached; this is a cached copy"'


def proxy(folder: Path, upstream: str, *options: str) -> Any:
    """Run a proxy that asks the upstream registry each time, so that no test depends on time."""
    return serving(folder, "--proxy", f"http://{upstream}", "--proxy-fresh", "0", *options)


def fill(upstream: memory.Registry, name: str, layer: bytes, tag: str = "1.0") -> str:
    """Add an image to a registry in memory."""
    for data in (b"{}", layer):
        upstream.blobs[name, digest_of(data)] = data
    return upstream.put(name, image(layer), MANIFEST, tag)


def get(server: Registry, path: str) -> Any:
    return server.ask("GET", f"/v2/{path}")


def test_cached_images_are_served_when_the_upstream_is_down(tmp_path: Path) -> None:
    layer = os.urandom(3 << 20)
    with serving(tmp_path / "upstream") as upstream:
        digest, document = upstream.push_image("team/app", "1.0", layer)
        signature = image(b"layer", subject=descriptor(document, MANIFEST), artifactType="application/x")
        upstream.push_blob("team/app", b"layer")
        assert upstream.put("team/app", digest_of(signature), signature).status == 201
        with proxy(tmp_path / "root", upstream.host) as server:
            first = get(server, "team/app/manifests/1.0")
            assert (first.body, first.headers["Docker-Content-Digest"]) == (document, digest)
            assert first.headers["Warning"] is None
            assert get(server, f"team/app/blobs/{digest_of(layer)}").body == layer
            assert get(server, "team/app/tags/list").json["tags"] == ["1.0"]
            entries = get(server, f"team/app/referrers/{digest}").json["manifests"]
            assert [entry["digest"] for entry in entries] == [digest_of(signature)]
            assert get(server, f"team/app/manifests/{digest_of(signature)}").body == signature
            upstream.kill()
            cached = get(server, "team/app/manifests/1.0")
            assert (cached.body, cached.headers["Warning"]) == (document, STALE)
            assert get(server, f"team/app/manifests/{digest}").headers["Warning"] is None
            assert get(server, f"team/app/blobs/{digest_of(layer)}").body == layer
            cached_referrers = get(server, f"team/app/referrers/{digest}")
            assert [entry["digest"] for entry in cached_referrers.json["manifests"]] == [digest_of(signature)]
            assert cached_referrers.headers["Warning"] == STALE
            assert get(server, "team/app/tags/list").json["tags"] == ["1.0"]
            for path in ("other/manifests/1", f"other/blobs/{digest}", "other/tags/list"):
                uncached = get(server, path)
                assert (uncached.status, uncached.json["errors"][0]["message"]) == (
                    502,
                    "the upstream registry cannot be reached, and this content is not cached",
                )
            server.stop()
        with proxy(tmp_path / "root", upstream.host) as server:
            assert get(server, "team/app/manifests/1.0").headers["Warning"] == STALE


def test_tags_follow_the_upstream(tmp_path: Path) -> None:
    upstream = memory.Registry()
    fill(upstream, "app", b"one")
    with memory.serving(upstream) as host, proxy(tmp_path / "root", host) as server:
        assert get(server, "app/manifests/1.0").body == image(b"one")
        fill(upstream, "app", b"two")
        assert get(server, "app/manifests/1.0").body == image(b"two")
        manifest_requests = len(upstream.logged_paths("GET", "manifests"))
        assert get(server, "app/manifests/1.0").status == 200
        assert len(upstream.logged_paths("GET", "manifests")) == manifest_requests
        del upstream.tags["app"]["1.0"]
        assert get(server, "app/manifests/1.0").status == 404
        assert get(server, "app/manifests/never").json["errors"][0]["code"] == "MANIFEST_UNKNOWN"
        assert get(server, f"app/blobs/{digest_of(b'no')}").json["errors"][0]["code"] == "BLOB_UNKNOWN"


def test_a_tag_is_served_without_asking_while_it_is_fresh(tmp_path: Path) -> None:
    upstream = memory.Registry()
    fill(upstream, "app", b"one")
    with memory.serving(upstream) as host, serving(tmp_path / "root", "--proxy", f"http://{host}") as server:
        for _ in range(5):
            assert get(server, "app/manifests/1.0").status == 200
        assert len(upstream.logged_paths("HEAD", "manifests")) == 1


@pytest.mark.parametrize("size", [10, 5 << 20])
def test_content_with_a_wrong_digest_is_never_stored(tmp_path: Path, size: int) -> None:
    upstream = memory.Registry(lies=b"x" * size)
    true = b"y" * size
    digest = fill(upstream, "app", true)
    with memory.serving(upstream) as host, proxy(tmp_path / "root", host) as server:
        path = f"/v2/app/blobs/{digest_of(true)}"
        with closing(HTTPConnection(server.host, timeout=60)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            try:
                body = response.read()
            except IncompleteRead as cut:  # the response had already begun
                assert size > 1 << 20
                assert len(cut.partial) < size
            else:
                assert response.status == 502
                assert b"sent content with another digest" in body
        upstream.manifests["app", digest] = (MANIFEST, b'{"schemaVersion": 2}')
        assert get(server, f"app/manifests/{digest}").status == 502
        assert get(server, "app/manifests/1.0").status == 502
        upstream.lies = b""
        assert server.ask("GET", path).body == true
        server.stop()
    stored_files = [file for file in (tmp_path / "root/blobs").rglob("*") if file.is_file()]
    assert [file.name for file in stored_files] == [digest_of(true).partition(":")[2]]
    assert not list((tmp_path / "root").rglob("_uploads/*"))


@pytest.mark.concurrency
def test_many_clients_share_one_fetch_of_a_blob(tmp_path: Path) -> None:
    upstream = memory.Registry()
    layer = os.urandom(4 << 20)
    fill(upstream, "app", layer)
    with memory.serving(upstream) as host, proxy(tmp_path / "root", host) as server:
        path = f"/v2/app/blobs/{digest_of(layer)}"
        together = threading.Barrier(12)

        def pull(_: int) -> str:
            together.wait()
            return hashlib.sha256(server.ask("GET", path).body).hexdigest()

        with ThreadPoolExecutor(12) as pool:
            assert set(pool.map(pull, range(12))) == {hashlib.sha256(layer).hexdigest()}
        assert len(upstream.logged_paths("GET", "blobs")) == 1
        range_response = server.ask("GET", path, headers={"Range": "bytes=5-9"})
        assert (range_response.status, range_response.body) == (206, layer[5:10])


def test_head_fetches_nothing(tmp_path: Path) -> None:
    upstream = memory.Registry()
    fill(upstream, "app", b"layer")
    with memory.serving(upstream) as host, proxy(tmp_path / "root", host) as server:
        path = f"/v2/app/blobs/{digest_of(b'layer')}"
        assert server.ask("HEAD", path).headers["Content-Length"] == "5"
        assert upstream.logged_paths("GET", "blobs") == []
        assert server.ask("GET", path).body == b"layer"
        assert server.ask("HEAD", f"/v2/app/blobs/{digest_of(b'no')}").status == 404


def test_a_proxy_rejects_writes(tmp_path: Path) -> None:
    upstream = memory.Registry()
    with memory.serving(upstream) as host, proxy(tmp_path / "root", host) as server:
        for method, path in (
            ("POST", "/v2/app/blobs/uploads/"),
            ("PUT", "/v2/app/manifests/1.0"),
            ("DELETE", f"/v2/app/blobs/{digest_of(b'')}"),
        ):
            refused = server.ask(method, path, b"{}" if method != "DELETE" else None)
            assert (refused.status, refused.code) == (405, "UNSUPPORTED")
            assert "push to the upstream registry instead" in refused.json["errors"][0]["message"]
        assert upstream.log == []


def test_a_proxy_logs_in_upstream_on_behalf_of_its_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = memory.Registry(users={"alice": "secret"}, tokens=True)
    digest = fill(upstream, "app", b"layer")
    with memory.serving(upstream) as host:
        with proxy(tmp_path / "bare", host) as server:
            refused = get(server, "app/manifests/1.0")
            assert (refused.status, refused.code) == (403, "DENIED")
        token = base64.b64encode(b"alice:secret").decode()
        (tmp_path / "auth.json").write_text(json.dumps({"auths": {host: {"auth": token}}}))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        users = tmp_path / "users"
        users.write_text(f"bob:{bcrypt.hashpw(b'other', bcrypt.gensalt(4)).decode()}\n")
        with proxy(tmp_path / "root", host, "--htpasswd", str(users), "--anonymous", "none") as server:
            assert get(server, "app/manifests/1.0").status == 401
            bob = {"Authorization": "Basic " + base64.b64encode(b"bob:other").decode()}
            response = server.ask("GET", "/v2/app/manifests/1.0", headers=bob)
            assert response.headers["Docker-Content-Digest"] == digest


@pytest.mark.parametrize("kind", ["debian", "ours"])
def test_an_image_can_be_pulled_through_a_proxy(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "none.json"))
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}, {"big": "x" * 2_000_000}], name="example.com/hello:1.0")
    (tmp_path / "debian").mkdir()
    runs = memory.debian(tmp_path / "debian") if kind == "debian" else serving(tmp_path / "upstream")
    with runs as upstream:
        host = upstream if isinstance(upstream, str) else upstream.host
        assert main(["push", "example.com/hello:1.0", f"docker://{host}/deep/team/hello:1.0"]) == 0
        with proxy(tmp_path / "root", f"{host}/deep") as server:
            assert main(["copy", f"docker://{server.host}/team/hello:1.0", f"oci:{tmp_path}/first"]) == 0
            runs_on = get(server, "team/hello/tags/list").json["tags"]
            assert runs_on == ["1.0"]
            upstream_digest = get(server, "team/hello/manifests/1.0").headers["Docker-Content-Digest"]
    with proxy(tmp_path / "root", f"{host}/deep") as server:
        assert main(["copy", f"docker://{server.host}/team/hello:1.0", f"oci:{tmp_path}/second"]) == 0
    indexes = [json.loads((tmp_path / name / "index.json").read_text()) for name in ("first", "second")]
    assert {index["manifests"][0]["digest"] for index in indexes} == {upstream_digest}


def test_an_index_is_served_without_fetching_all_of_its_manifests(tmp_path: Path) -> None:
    upstream = memory.Registry()
    fill(upstream, "app", b"one")
    fill(upstream, "app", b"two", "2.0")
    manifests = [descriptor(image(layer), MANIFEST) for layer in (b"one", b"two")]
    document = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).encode()
    upstream.put("app", document, INDEX, "all")
    with memory.serving(upstream) as host, proxy(tmp_path / "root", host) as server:
        assert get(server, "app/manifests/all").body == document
        assert get(server, f"app/manifests/{digest_of(image(b'one'))}").body == image(b"one")
        assert upstream.logged_paths("GET", digest_of(image(b"two"))) == []
