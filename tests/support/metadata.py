"""Pods as the metadata service sees them, and a client of it."""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.formats import appc_manifests, oci
from pumice.runtime.metadata import records
from pumice.runtime.metadata.command import service_command
from pumice.runtime.metadata.records import AppMetadata, PodMetadata
from pumice.runtime.metadata.relay.connection import connect
from tests.support import waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

Headers = dict[str, str]
UUID = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
OTHER_UUID = "6ba7b811-9dad-41d1-80b4-00c04fd430c8"
DIGEST = "sha256:" + "ab" * 32
CONFIG = oci.ImageConfig(
    architecture="arm64",
    os="linux",
    rootfs=oci.RootFs("layers", ()),
    created="2026-01-02T03:04:05Z",
    author="Ada",
    config=oci.RunConfig(
        user="65532:65532",
        exposed_ports={"8080/tcp": oci.Empty(), "odd": oci.Empty(), "53/udp": oci.Empty()},
        env=("PATH=/bin", "A=1", "A=2", "0bad=1"),
        entrypoint=("/bin/web",),
        cmd=("--serve",),
        volumes={"/var/lib/web data": oci.Empty()},
        working_dir="/srv",
        labels={"b": "2", "a": "1"},
    ),
)


def make_pod(uuid: str = UUID, *, audiences: tuple[str, ...] = ()) -> PodMetadata:
    """Return a pod with the apps web and helper."""
    image = appc_manifests.make_image_manifest(CONFIG, "example.com/web:1.0", DIGEST)
    runtime_app: dict[str, Any] = {"annotations": [{"name": "authors", "value": "Eve"}]}
    manifest = appc_manifests.make_pod_manifest(
        {
            "web": (image, runtime_app, appc_manifests.image_id(image)),
            "helper": (image, {}, appc_manifests.image_id(image)),
        },
        annotations={"ip": "10.1.2.3"},
    )
    apps = {
        name: AppMetadata(
            token=records.new_token(),
            image="example.com/web:1.0",
            digest=DIGEST,
            image_id=appc_manifests.image_id(image),
            image_manifest=image,
        )
        for name in ("web", "helper")
    }
    return PodMetadata(uuid, "web-1", manifest, apps, audiences)


@contextmanager
def running_pod(home: Path, pod: PodMetadata) -> Iterator[Path]:
    """Write the directory of a pod, and hold its lock as a supervisor does."""
    directory = home / "pods" / pod.uuid
    directory.mkdir(parents=True)
    (directory / records.FILE).write_bytes(records.encode_metadata(pod))
    lock = os.open(directory, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield directory
    finally:
        os.close(lock)


def wait_for_service(home: Path) -> None:
    """Wait until a service that was started can be reached."""

    def answers() -> bool:
        try:
            connect(str(home)).close()
        except OSError:
            return False
        return True

    waiting.until(answers)


@contextmanager
def running_service(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start the service, and wait until it answers."""
    process = subprocess.Popen(service_command(home, 0))
    try:
        wait_for_service(home)
        yield process
    finally:
        process.terminate()
        process.wait()


def request(
    home: Path, uuid: str, method: str, path: str, body: bytes | None = None, headers: Headers | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request as the relay of a pod does; return the status, the headers and the body."""
    connection = connect(str(home))
    connection.settimeout(20)
    connection.sendall(f"{uuid}\n".encode())
    return exchange(connection, method, path, body, headers)


def exchange(
    connection: socket.socket,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Headers | None = None,
) -> tuple[int, dict[str, str], bytes]:
    """Send a request over a connection; return the status, the headers and the body of the response."""
    client = http.client.HTTPConnection("metadata")
    client.sock = connection
    try:
        client.request(method, path, body, headers or {})
        response = client.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, response.read()
    finally:
        client.close()
