"""Small images, made in a store from a dictionary of files."""

from __future__ import annotations

import functools
import gzip
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import digest
from pumice.formats import oci, tar
from pumice.formats.tar import Entry
from pumice.image.model import Image

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.store.home import Home

    Files = dict[str, str | bytes | Entry]
    Layer = Files | list[tuple[Entry, bytes]]

APPLETS = (
    *("cat", "echo", "env", "grep", "id", "kill", "ls", "mkdir", "mount", "ps", "pwd", "rm", "sh", "sleep"),
    "touch",
)
"""The names under which `shell` installs busybox."""


def layer(content: Layer) -> bytes:
    """Return a layer's tar.

    A string is a file's content, bytes that of a program (0755), an `Entry` is used as it is. Parent
    directories are added. Anything else comes as pairs of entry and content, written in their order.
    """
    pairs = _pairs(content) if isinstance(content, dict) else content
    blocks: list[bytes] = []
    for entry, data in pairs:
        blocks += [tar.encode_header(entry), data, bytes(tar.padding_size(len(data)))]
    return b"".join([*blocks, tar.END_OF_ARCHIVE])


def _pairs(content: Files) -> Iterable[tuple[Entry, bytes]]:
    entries: dict[str, tuple[Entry, bytes]] = {}
    for path, item in content.items():
        if isinstance(item, Entry):
            entries[path] = (item, b"")
            continue
        data = item.encode() if isinstance(item, str) else item
        mode = 0o644 if isinstance(item, str) else 0o755
        entries[path] = (Entry(path, "file", mode, size=len(data)), data)
    for path in list(entries):
        for parent in Path(path).parents:
            name = "" if str(parent) == "." else str(parent)
            entries.setdefault(name, (Entry(name, "dir", 0o755), b""))
    return [entries[path] for path in sorted(entries, key=lambda path: path.split("/") if path else [])]


def put(home: Home, data: bytes) -> str:
    """Store a blob and return its digest."""
    with home.blobs.writer() as writer:
        writer.write(data)
        return writer.commit()


def make(
    home: Home,
    layers: Sequence[Layer],
    *,
    name: str | None = None,
    architecture: str = "amd64",
    config: oci.RunConfig | None = None,
    diff_ids: Sequence[str] = (),
    annotations: dict[str, str] | None = None,
) -> Image:
    """Store an image, under ``name`` if one is given, and return it.

    ``diff_ids`` overrides the digests of the layers in the config.
    """
    tars = [layer(content) for content in layers]
    packed = list(map(_compress, tars))
    document = oci.ImageConfig(
        architecture=architecture,
        os="linux",
        rootfs=oci.RootFs("layers", tuple(diff_ids) or tuple(digest.of(data) for data in tars)),
        config=config or oci.RunConfig(),
    )
    config_data = oci.encode_document(document)
    put(home, config_data)
    manifest = oci.make_manifest(
        oci.make_descriptor(config_data, oci.CONFIG),
        tuple(oci.Descriptor(oci.LAYER_GZIP, put(home, data), len(data)) for data in packed),
        annotations=annotations,
    )
    data = oci.encode_document(manifest)
    put(home, data)
    root = oci.make_descriptor(data, oci.MANIFEST, platform=oci.Platform(architecture))
    home.build_marks.add(root.digest)
    if name:
        home.refs.set(name, root)
    return Image(root, home.blobs)


@functools.lru_cache(maxsize=8)
def _compress(data: bytes) -> bytes:
    """Return a layer in gzip; many images have the same ones."""
    return gzip.compress(data, mtime=0)


def compiled(folder: Path, source: str, *options: str) -> bytes:
    """Return a static program compiled from C source; skip the test without a compiler."""
    from tests.support.peers import need

    gcc = need("gcc")
    (folder / "program.c").write_text(source)
    subprocess.run(
        [gcc, "-static", *options, "-O1", "-o", str(folder / "program"), str(folder / "program.c")],
        check=True,
        capture_output=True,
    )
    return (folder / "program").read_bytes()


def busybox() -> bytes:
    """Return the program busybox, without libraries; skip the test if it is not installed."""
    from tests.support.peers import absent

    path = shutil.which("busybox")
    if path is None or b"ld-linux" in Path(path).read_bytes()[:4096]:
        absent("busybox-static is not installed")
    return Path(str(path)).read_bytes()


def shell() -> Files:
    """Return the content of a layer with busybox as `APPLETS`; skip the test if it is not installed."""
    files: Files = {"bin/busybox": busybox()}
    for applet in APPLETS:
        files[f"bin/{applet}"] = Entry(f"bin/{applet}", "symlink", 0o777, link="busybox")
    files["etc/passwd"] = (
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\nnonroot:x:65532:65532::/home:\n"
    )
    files["etc/group"] = "root:x:0:\nwww:x:34:\nstaff:x:50:web,nobody\naudio:x:29:web\n"
    files["tmp"] = Entry("tmp", "dir", 0o1777)
    return files
