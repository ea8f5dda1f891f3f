"""Measure how fast App Container images are read and written, held against the slowest step of each.

    python -m bench appc [DIRECTORY]

DIRECTORY (default: /usr/lib) becomes the root of an image. The times are those of processors, because others
may use the machine too. The steps of a stream run in threads, so a stream takes as long as its slowest step,
or as all steps together on all processors. Validating and converting must reach 0.8 of the slowest step
(inflate, SHA-512 or deflate), writing without compression 0.5 of SHA-512.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from pumice.appc.streams import Compression
from pumice.cli.main import main as pumice
from pumice.formats import gzip, oci
from pumice.formats.compression import DecompressedStream
from pumice.image import aci_reader, aci_writer
from pumice.image.model import Image
from pumice.image.output import Output
from pumice.progress import Silent

_CHUNK = 1 << 18
_RUNS = 3
_MANIFEST = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/bench"}


def measure(function: Callable[[], object]) -> float:
    """Return the least seconds that a function takes if no other program uses the processors."""
    times = []
    for _ in range(_RUNS):
        started, all_started = time.thread_time(), time.process_time()
        function()
        of_all = (time.process_time() - all_started) / (os.cpu_count() or 1)
        times.append(max(time.thread_time() - started, of_all))
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


def deflate(path: Path) -> None:
    """Compress a file as the writers do."""
    with path.open("rb") as file:
        while data := file.read(gzip.MEMBER_SIZE):
            gzip.compress_member(data)


def write(image: Image, path: Path, compression: Compression) -> None:
    """Convert an image to a file."""
    with Output(str(path)) as output:
        options = aci_writer.AciOptions(name="example.com/bench", compression=compression)
        aci_writer.write_aci(image, output, options, Silent())


def measure_steps(packed: Path, plain: Path) -> dict[str, float]:
    """Return the seconds of each step alone, in one thread."""
    return {
        "inflate": measure(lambda: inflate(packed)),
        "SHA-512": measure(lambda: hash_file(plain)),
        "deflate": measure(lambda: deflate(plain)),
    }


def main(arguments: Sequence[str]) -> int:
    """Print a table; return 1 if a goal is missed."""
    root = Path(arguments[0] if arguments else "/usr/lib").resolve()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        packed, plain = make_images(root, directory)
        pumice(("convert", f"aci:{plain}", f"tar:{directory / 'layer.tar'}"))
        image, written = make_image(directory / "layer.tar"), directory / "written.aci"
        converted = aci_reader.read_aci(packed, Silent()).image()
        size = plain.stat().st_size / 1e6
        steps = measure_steps(packed, plain)
        rates = ", ".join(f"{step} {size / seconds:.0f} MB/s" for step, seconds in steps.items())
        print(f"{size:.0f} MB; {rates}")
        missed = False
        for task, function, names, goal in (
            ("validate gzip", lambda: aci_reader.validate_aci(packed), ("inflate", "SHA-512"), 0.8),
            ("validate uncompressed", lambda: aci_reader.validate_aci(plain), ("SHA-512",), 0.8),
            ("write uncompressed", lambda: write(image, written, "none"), ("SHA-512",), 0.5),
            ("convert gzip to OCI", lambda: aci_reader.read_aci(packed, Silent()), tuple(steps), 0.8),
            ("convert OCI to gzip", lambda: write(converted, written, "gzip"), tuple(steps), 0.8),
        ):
            taken = measure(function)
            ratio = max(steps[name] for name in names) / taken
            missed |= ratio < goal
            print(f"{task:24} {size / taken:6.0f} MB/s, {ratio:.2f} of the slowest step ({goal})")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB resident at most")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
