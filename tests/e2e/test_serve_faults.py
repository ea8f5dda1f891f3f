"""``pumice serve`` under failures: kills under load, a full disk, damaged files, hostile clients."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random

import pytest

from pumice.errors import PumiceError, TrustError
from pumice.formats import oci
from pumice.registry import Client, ClientSettings, RegistryError, Repository, RetryPolicy, parse_reference
from pumice.registry.server.integrity import check
from pumice.registry.server.storage.disk.storage import open_storage
from tests.support import ports, waiting
from tests.support.peers import absent, need
from tests.support.serving import Registry, digest_of, image, serving

STUBBORN = ClientSettings(
    retry_policy=RetryPolicy(attempts=400, initial_delay=0.02, max_delay=0.1), chunk_size=100_000
)
BRISK = ClientSettings(retry_policy=RetryPolicy(attempts=2, initial_delay=0.0, max_delay=0.0))
POST = b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n"


def described(data: bytes) -> oci.Descriptor:
    return oci.Descriptor("application/octet-stream", digest_of(data), len(data))


def sound(root: Path) -> None:
    with open_storage(root) as storage:
        findings = check(storage)
    assert (findings.damaged, findings.incomplete) == ((), ())


class Load:
    """Clients that push and pull, and record which pushes were acknowledged."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.acknowledged: dict[str, bytes] = {}
        self.problems: list[str] = []
        self.stop = threading.Event()

    def has_acknowledged(self, count: int) -> bool:
        """Return whether so many pushes were acknowledged, or the load has failed."""
        return len(self.acknowledged) >= count or bool(self.problems)

    def push(self, number: int) -> None:
        dice = Random(number)
        try:
            with Client(settings=STUBBORN) as client:
                for turn in range(1000):
                    if self.stop.is_set():
                        break
                    reference = parse_reference(f"docker://{self.host}/team/app{number}:t{turn}")
                    layer = dice.randbytes(300_000)
                    for data in (b"{}", layer):
                        client.upload_blob(reference.repository, described(data), data)
                    client.put_manifest(reference, image(layer), oci.MANIFEST)
                    self.acknowledged[f"{reference}"] = layer
        except PumiceError as error:
            self.problems.append(f"push: {error.message}")

    def pull(self) -> None:
        try:
            with Client(settings=STUBBORN) as client:
                while not self.stop.is_set():
                    for name, layer in list(self.acknowledged.items())[-3:]:
                        repository = parse_reference(f"docker://{name}").repository
                        with client.open_blob(repository, digest_of(layer), len(layer)) as file:
                            self.problems += [] if file.read() == layer else [f"{name} is another"]
        except PumiceError as error:
            self.problems.append(f"pull: {error.message}")


@pytest.mark.concurrency
def test_a_server_killed_under_load_keeps_acknowledged_pushes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with ports.reserve() as port, ExitStack() as stack:
        address = f"127.0.0.1:{port}"
        server = stack.enter_context(serving(root, listen=address))
        load = Load(server.host)
        threads = [threading.Thread(target=load.push, args=(number,)) for number in range(4)]
        threads += [threading.Thread(target=load.pull) for _ in range(2)]
        for thread in threads:
            thread.start()
        for turn in range(1, 4):
            waiting.until(partial(load.has_acknowledged, turn * 12))
            server.kill()
            server = stack.enter_context(serving(root, listen=address))
        load.stop.set()
        for thread in threads:
            thread.join()
        assert load.problems == []
        with Client(settings=STUBBORN) as client:
            for name, layer in load.acknowledged.items():
                assert client.get_manifest(parse_reference(f"docker://{name}")).data == image(layer)
        assert server.stop() == 0
    sound(root)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Registry, Path]]:
    """Provide a registry on a disk of 8 MiB, and the path of that disk outside of its namespace."""
    disk = tmp_path / "disk"
    disk.mkdir()
    user = [] if os.geteuid() == 0 else ["-r"]
    script = 'mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"'
    inside = [need("unshare"), *user, "-m", "--propagation", "private", "sh", "-c", script, str(disk)]
    with serving(disk / "root", inside=inside) as server:
        mounted_disk = Path(f"/proc/{server.process.pid}/root{disk}")
        if not (mounted_disk / "root").is_dir():
            absent("mount namespaces cannot be looked into")
        yield server, mounted_disk


@pytest.mark.peer("unshare")
def test_a_full_disk_is_an_error_until_there_is_space(small: tuple[Registry, Path], tmp_path: Path) -> None:
    registry, disk = small
    layer = Random(0).randbytes(1 << 20)
    digest, _ = registry.push_image("team/app", "kept", layer)
    big = Random(1).randbytes(4 << 20)
    filler = disk / "filler"
    filler.write_bytes(bytes(5 << 20))
    repository = Repository(registry.host, "team/app")
    with Client(settings=BRISK) as client:
        with pytest.raises(RegistryError, match="the registry has no space left") as raised:
            client.upload_blob(repository, described(big), big)
        assert raised.value.status == 507
        with pytest.raises(OSError, match="No space"), filler.open("ab", buffering=0) as file:
            while file.write(bytes(1 << 12)):
                pass
        response = registry.put("team/app", "new", image(layer, annotations={"a": "b" * 10_000}))
        assert response.status == 507
        assert str(tmp_path).encode() not in response.body
        assert registry.ask("GET", "/v2/team/app/tags/list").json["tags"] == ["kept"]
        assert registry.ask("HEAD", f"/v2/team/app/blobs/{digest_of(big)}").status == 404
        assert registry.ask("HEAD", "/v2/team/app/manifests/kept").headers["Docker-Content-Digest"] == digest
        filler.unlink()
        assert client.upload_blob(repository, described(big), big) == "sent"
        assert registry.put("team/app", "new", image(big)).status == 201
    shutil.copytree(disk / "root", tmp_path / "copy")
    sound(tmp_path / "copy")


def test_a_blob_damaged_on_disk_is_reported(tmp_path: Path) -> None:
    small, large = b"small", os.urandom(3 << 20)
    with serving(tmp_path / "root") as server:
        for data in (small, large):
            server.push_blob("team/app", data)
    for data in (small, large):
        (file,) = (tmp_path / "root" / "blobs").rglob(digest_of(data).partition(":")[2])
        file.chmod(0o600)
        with file.open("r+b") as stream:
            stream.write(b"?")
    with serving(tmp_path / "root") as server, Client(settings=BRISK) as client:
        for data, kind in ((small, RegistryError), (large, TrustError)):
            repository = Repository(server.host, "team/app")
            with (
                pytest.raises(kind) as raised,
                client.open_blob(repository, digest_of(data), len(data)) as reading,
            ):
                reading.read()
            assert isinstance(raised.value, PumiceError)
            assert digest_of(data) in (raised.value.where or "")
        assert server.ask("GET", "/v2/").status == 200


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving(tmp_path_factory.mktemp("registry") / "root") as server:
        yield server


def test_slow_clients_do_not_delay_others(registry: Registry) -> None:
    host, port = registry.host.split(":")
    with ExitStack() as stack:
        for number in range(150):
            slow = stack.enter_context(socket.create_connection((host, int(port)), timeout=30))
            slow.sendall(POST + b"X: y\r\n" if number % 2 else POST + b"Content-Length: 1000000\r\n\r\nx")
        digest, document = registry.push_image("beside/slow", "v1", b"beside")
        assert registry.ask("GET", f"/v2/beside/slow/manifests/{digest}").body == document


@pytest.mark.parametrize(
    "data",
    [
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\nGET /v2/ HTTP/1.1\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        POST
        + b"Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Content-Length: -1\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Content-Length: 99999999999999999999\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_request_is_never_read_as_two(registry: Registry, data: bytes) -> None:
    host, port = registry.host.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        received = b"".join(iter(lambda: client.recv(65536), b""))
    assert received.count(b"HTTP/1.1 ") <= 1
    assert b"HTTP/1.1 200" not in received
    assert registry.ask("GET", "/v2/").status == 200


def _described_as(**fields: object) -> bytes:
    document = json.loads(image())
    document["layers"][0] |= fields
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"\xff\xfe{}",
        b'{"schemaVersion": 1e999}',
        b'{"schemaVersion": 2, "layers": {}}',
        b" " * (4 << 20) + b"{}",
        _described_as(size=-1),
        _described_as(size=1 << 70),
        _described_as(size="5"),
        _described_as(digest="sha256:" + "0" * 5000),
        _described_as(digest="sha256:../../../../etc/passwd"),
        _described_as(digest=["sha256"]),
    ],
    ids=range(14),
)
def test_hostile_manifests_are_rejected_with_a_reason(registry: Registry, body: bytes) -> None:
    registry.push_blob("hostile", b"{}")
    registry.push_blob("hostile", b"layer")
    response = registry.put("hostile", "v1", body)
    assert 400 <= response.status < 500
    assert len(response.json["errors"]) == 1
    assert len(response.body) < 8000
    assert registry.ask("GET", "/v2/hostile/manifests/v1").status == 404


@pytest.mark.concurrency
def test_two_hundred_clients_pull_at_once(registry: Registry) -> None:
    layer = Random(2).randbytes(200_000)
    registry.push_image("popular", "v1", layer)
    reference = parse_reference(f"docker://{registry.host}/popular:v1")
    problems: list[str] = []

    def pull() -> None:
        try:
            with Client(settings=BRISK) as client:
                document = client.get_manifest(reference)
                with client.open_blob(reference.repository, digest_of(layer), len(layer)) as file:
                    if file.read() != layer or document.data != image(layer):
                        problems.append("another")
        except PumiceError as error:
            problems.append(error.message)

    threads = [threading.Thread(target=pull) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
