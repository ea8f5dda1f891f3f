"""Readers of App Container documents and archives, given what a machine changed at random."""

from __future__ import annotations

import io
import json
import random
from typing import TYPE_CHECKING, Any

from pumice.appc.aci_archive import AciReader
from pumice.appc.image_manifest import read_image_manifest
from pumice.appc.pod_manifest import read_pod_manifest
from pumice.errors import PumiceError
from tests.support import aci
from tests.support.aci import ROOT, file, manifest_file

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 1500
APP: dict[str, Any] = {
    "exec": ["/a"],
    "user": "0",
    "group": "0",
    "eventHandlers": [{"name": "pre-start", "exec": ["/b"]}],
    "environment": [{"name": "A", "value": "b"}],
    "ports": [{"name": "web", "protocol": "tcp", "port": 80, "socketActivated": True}],
    "mountPoints": [{"name": "data", "path": "/data"}],
    "isolators": [
        {"name": "resource/cpu", "value": {"request": "250m", "limit": "1"}},
        {"name": "os/linux/seccomp-retain-set", "value": {"set": ["read"], "errno": "EPERM"}},
    ],
}
POD: dict[str, Any] = {
    "acKind": "PodManifest",
    "acVersion": "0.8.11",
    "apps": [
        {
            "name": "a",
            "image": {"id": "sha512-" + "0" * 128},
            "app": APP,
            "mounts": [{"volume": "v", "path": "/v"}],
        }
    ],
    "volumes": [{"name": "v", "kind": "empty", "mode": "0755"}],
    "ports": [{"name": "web", "hostPort": 8080, "hostIP": "127.0.0.1"}],
}


def change_bytes(data: bytes, source: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(source.randint(1, 8)):
        position = source.randrange(len(changed))
        match source.randrange(3):
            case 0:
                changed[position] = source.randrange(256)
            case 1:
                del changed[position : position + source.randint(1, 40)]
            case _:
                changed[position:position] = changed[position : position + source.randint(1, 40)]
        if not changed:
            return b""
    return bytes(changed)


def check(read: Callable[[bytes], object], data: bytes) -> None:
    """Read changed documents; only a `PumiceError` may be raised."""
    read(data)
    source = random.Random(1)
    for _ in range(ROUNDS):
        try:
            read(change_bytes(data, source))
        except PumiceError as error:
            assert len(str(error)) < 2000


def test_image_manifests() -> None:
    check(read_image_manifest, aci.manifest(app=APP))


def test_pod_manifests() -> None:
    check(read_pod_manifest, json.dumps(POD).encode())


def test_archives() -> None:
    def read(data: bytes) -> None:
        with AciReader(io.BytesIO(data), lambda _: len(data)) as reader:
            for _, body in reader.entries():
                body.read()

    archive = aci.archive(manifest_file(), ROOT, file("rootfs/a", b"hello"), file("rootfs/b", bytes(700)))
    for compress in aci.COMPRESSIONS.values():
        check(read, compress(archive))
