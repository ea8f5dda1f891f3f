"""Small handmade images, with their blobs in memory."""

from __future__ import annotations

import gzip
import hashlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from pumice import digest
from pumice.errors import StoreError
from pumice.formats import oci, tar
from pumice.formats.tar import Entry
from pumice.image.model import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor, Platform

Item = tuple[Entry, bytes]
AMD64 = oci.Platform("amd64")
ARM64 = oci.Platform("arm64", variant="v8")


class MemoryBlobs:
    """Blobs in a dictionary."""

    def __init__(self) -> None:
        self.content: dict[Digest, bytes] = {}

    def put(self, data: bytes) -> Digest:
        key = digest.of(data)
        self.content[key] = data
        return key

    def open(self, digest_: Digest) -> BinaryIO:
        if digest_ not in self.content:
            raise StoreError(f"there is no blob {digest_}")
        return io.BytesIO(self.content[digest_])


def folder(path: str, mode: int = 0o755, **more: Any) -> Item:
    return Entry(path=path, kind="dir", mode=mode, **more), b""


def file(path: str, content: bytes = b"", mode: int = 0o644, **more: Any) -> Item:
    return Entry(path=path, kind="file", mode=mode, size=len(content), **more), content


def symlink(path: str, link: str, **more: Any) -> Item:
    return Entry(path=path, kind="symlink", mode=0o777, link=link, **more), b""


def hardlink(path: str, link: str, **more: Any) -> Item:
    return Entry(path=path, kind="hardlink", mode=0o644, link=link, **more), b""


def archive(items: Sequence[Item]) -> bytes:
    """Return the tar archive of a layer."""
    blocks = []
    for entry, content in items:
        blocks += [tar.encode_header(entry), content, bytes(tar.padding_size(len(content)))]
    return b"".join([*blocks, tar.END_OF_ARCHIVE])


def members(data: bytes, cut: int = 3000) -> bytes:
    """Return ``data`` as a gzip stream of several members, as in Pumice's own layers."""
    chunks = [data[start : start + cut] for start in range(0, len(data), cut)] or [b""]
    return b"".join(gzip.compress(chunk, 6, mtime=0) for chunk in chunks)


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data, 3)


_COMPRESSIONS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "gzip": (members, oci.LAYER_GZIP),
    "zstd": (zstd, oci.LAYER_ZSTD),
    "plain": (bytes, oci.LAYER_TAR),
}


@dataclass(frozen=True)
class ImageContents:
    """The contents of one platform's image."""

    layers: Sequence[Sequence[Item]]
    compression: str = "gzip"
    run: oci.RunConfig = field(default_factory=oci.RunConfig)
    annotations: Mapping[str, str] = field(default_factory=dict)
    comments: Sequence[str] = ()


def image(contents: ImageContents, blobs: MemoryBlobs | None = None, platform: Platform = AMD64) -> Image:
    """Return an image of one platform."""
    blobs = blobs or MemoryBlobs()
    compress, media_type = _COMPRESSIONS[contents.compression]
    tars = [archive(layer_items) for layer_items in contents.layers]
    config = oci.ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        rootfs=oci.RootFs("layers", tuple(digest.of(data) for data in tars)),
        config=contents.run,
        created="2024-01-01T00:00:00Z",
        history=tuple(oci.History(created_by="pumice", comment=text) for text in contents.comments),
    )
    manifest = oci.make_manifest(
        put(blobs, oci.encode_document(config), oci.CONFIG),
        tuple(put(blobs, compress(data), media_type) for data in tars),
        annotations=dict(contents.annotations),
    )
    return Image(put(blobs, oci.encode_document(manifest), oci.MANIFEST), blobs)


def index(images: Mapping[Platform, ImageContents]) -> Image:
    """Return an image of several platforms."""
    blobs = MemoryBlobs()
    roots = []
    for platform, contents in images.items():
        root = image(contents, blobs, platform).root
        roots.append(oci.Descriptor(root.media_type, root.digest, root.size, platform=platform))
    return Image(put(blobs, oci.encode_document(oci.make_index(tuple(roots))), oci.INDEX), blobs)


def put(blobs: MemoryBlobs, data: bytes, media_type: str) -> Descriptor:
    return oci.Descriptor(media_type, blobs.put(data), len(data))


STATUS = """\
Package: {name}
Status: install ok installed
Installed-Size: 12
Architecture: amd64
Version: {version}
Source: {name}-src (1.0)
Description: a test

"""


def small() -> ImageContents:
    """Return two layers with everything that an ordinary image has, and a whiteout."""
    base = [
        folder(""),
        folder("bin"),
        file("bin/tool", b"#!" + b"tool" * 500, 0o755),
        hardlink("bin/tool-2", "bin/tool"),
        symlink("bin/sh", "tool"),
        folder("etc"),
        file("etc/passwd", b"root:*:0:0:root:/root:/bin/sh\nnobody:*:65534:65534::/:/bin/false\n"),
        file("etc/old", b"old\n"),
        folder("tmp", 0o1777),
        file("bin/su", b"su" * 50, 0o4755),
        folder("var"),
        folder("var/lib"),
        folder("var/lib/dpkg"),
        folder("var/lib/dpkg/info"),
        file(
            "var/lib/dpkg/status",
            (
                STATUS.format(name="tool", version="1.0-1") + STATUS.format(name="etc", version="2:3.4")
            ).encode(),
        ),
        file("var/lib/dpkg/info/tool.list", b"/.\n/bin\n/bin/tool\n/bin/tool-2\n/bin/sh\n/bin/su\n"),
        file("var/lib/dpkg/info/etc.list", b"/.\n/etc\n/etc/passwd\n/etc/old\n"),
    ]
    upper = [folder("app"), file("etc/.wh.old"), file("app/hello", b"hello\n" * 100, uid=65532, gid=65532)]
    run = oci.RunConfig(
        user="65532:65532",
        env=("PATH=/bin",),
        entrypoint=("/bin/tool",),
        cmd=("--help",),
        working_dir="/app",
        exposed_ports={"8080/tcp": oci.Empty()},
        labels={"a": "b"},
    )
    annotations = {"org.opencontainers.image.title": "small"}
    return ImageContents([base, upper], run=run, annotations=annotations, comments=("base", "application"))


def random_bytes(size: int, seed: str) -> bytes:
    """Return incompressible bytes, the same for the same seed."""
    return hashlib.shake_256(seed.encode()).digest(size)
