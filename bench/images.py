"""Images of a given size as OCI layouts, with random content derived from a number."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Image:
    """A layout, and the digests of its content."""

    folder: Path
    manifest: str
    config: str
    layers: tuple[str, ...]

    def blob(self, digest: str) -> Path:
        """Return the file of a blob."""
        return self.folder / "blobs" / "sha256" / digest.partition(":")[2]


def make(folder: Path, sizes: tuple[int, ...], number: int = 0) -> Image:
    """Write a layout whose layers are uncompressed tar archives with one file of random bytes each.

    ``sizes`` are in bytes, each a multiple of 1 MiB.
    """
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    layers = [_layer(blobs, size, number * 100 + position) for position, size in enumerate(sizes)]
    digests = tuple(str(layer["digest"]) for layer in layers)
    rootfs = {"type": "layers", "diff_ids": digests}
    config = put(
        json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode(), CONFIG
    )
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    root = put(json.dumps(document).encode(), MANIFEST)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [root]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return Image(folder, str(root["digest"]), str(config["digest"]), digests)


def _layer(blobs: Path, size: int, seed: int) -> dict[str, object]:
    """Write a layer piece by piece: what a process has in memory counts for those that it starts."""
    block = random.Random(seed).randbytes(1 << 20)  # longer than what gzip looks back
    path = blobs / "layer"
    with path.open("w+b") as file:
        entry = tarfile.TarInfo(f"file-{seed}")
        entry.size = size
        file.write(entry.tobuf())
        for _ in range(size >> 20):
            file.write(block)
        file.write(bytes(1024))
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path.rename(blobs / digest)
    return {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": (blobs / digest).stat().st_size}
