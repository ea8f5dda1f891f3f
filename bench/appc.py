"""Measure how fast App Container images are read and written, held against the slowest step of each.

    python -m bench appc [DIRECTORY]

DIRECTORY (default: /usr/lib) becomes the root of an image. The times are those of processors, because others
may use the machine too: the steps of a stream run in threads, and the one that takes longest limits it.
Reading must reach 0.8 of the slowest step (inflate or SHA-512), writing without compression 0.5 of SHA-512.
"""

from __future__ import annotations

import hashlib
import io
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from pumice.cli.main import main as pumice
from pumice.formats import oci
from pumice.formats.compression import DecompressedStream
from pumice.image import aci_reader, aci_writer
from pumice.image.model import Image
from pumice.image.output import Output
from pumice.progress import Silent

_CHUNK = 1 << 18
_RUNS = 3
_MANIFEST = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/bench"}


def measure(function: Callable[[], object]) -> float:
    """Return the least seconds of the processor that the thread of a function took."""
    times = []
    for _ in range(_RUNS):
        started = time.thread_time()
        function()
        times.append(time.thread_time() - started)
    return min(times)


def make_images(root: Path, directory: Path) -> tuple[Path, Path]:
    """Write an image with the files of ``root``, with and without compression; return both."""
    layout = directory / "layout"
    layout.mkdir(0o755)
    shutil.copytree(root, layout / "rootfs", symlinks=True, ignore_dangling_symlinks=True)
    (layout / "manifest").write_text(json.dumps(_MANIFEST))
    packed, plain = directory / "packed.aci", directory / "plain.aci"
    pumice(("aci", "build", str(layout), str(packed)))
    pumice(("aci", "build", "--compression", "none", str(layout), str(plain)))
    return packed, plain


def make_image(layer: Path) -> Image:
    """Return an image with an uncompressed layer."""
    with layer.open("rb") as file:
        layer_digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    rootfs = {"type": "layers", "diff_ids": [layer_digest]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    descriptor = oci.make_descriptor(config, oci.CONFIG)
    layers = (oci.Descriptor(oci.LAYER_TAR, layer_digest, layer.stat().st_size),)
    manifest = oci.encode_document(oci.make_manifest(descriptor, layers))
    root = oci.make_descriptor(manifest, oci.MANIFEST)
    return Image(root, _Blobs(layer, {descriptor.digest: config, root.digest: manifest}))


class _Blobs:
    def __init__(self, layer: Path, documents: dict[str, bytes]) -> None:
        self._layer = layer
        self._documents = documents

    def open(self, digest: str) -> BinaryIO:
        """Open a document or the layer."""
        return io.BytesIO(self._documents[digest]) if digest in self._documents else self._layer.open("rb")


def inflate(path: Path) -> None:
    """Decompress a file."""
    with path.open("rb") as file:
        stream = DecompressedStream(file, "gzip", limit=1 << 40)
        while stream.read(_CHUNK):
            pass


def hash_file(path: Path) -> None:
    """Compute the SHA-512 of a file."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha512")


def main(arguments: Sequence[str]) -> int:
    """Print a table; return 1 if a goal is missed."""
    root = Path(arguments[0] if arguments else "/usr/lib").resolve()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        packed, plain = make_images(root, directory)
        pumice(("convert", f"aci:{plain}", f"tar:{directory / 'layer.tar'}"))
        image = make_image(directory / "layer.tar")

        def write() -> None:
            with Output(str(directory / "written.aci")) as output:
                options = aci_writer.AciOptions(name="example.com/bench", compression="none")
                aci_writer.write_aci(image, output, options, Silent())

        inflated, hashed = measure(lambda: inflate(packed)), measure(lambda: hash_file(plain))
        rows = [
            ("validate gzip", max(inflated, hashed), measure(lambda: aci_reader.validate_aci(packed)), 0.8),
            ("validate uncompressed", hashed, measure(lambda: aci_reader.validate_aci(plain)), 0.8),
            ("write uncompressed", hashed, measure(write), 0.5),
        ]
        size = plain.stat().st_size / 1e6
    print(f"{size:.0f} MB; inflate {size / inflated:.0f} MB/s, SHA-512 {size / hashed:.0f} MB/s")
    missed = False
    for step, limit, taken, goal in rows:
        ratio = limit / max(taken, hashed)  # SHA-512 runs in a thread of its own
        missed |= ratio < goal
        print(f"{step:24} {size / taken:6.0f} MB/s of this thread, {ratio:.2f} of the slowest step ({goal})")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB resident at most")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
