"""App Container images that tests build by hand, also wrong ones."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.appc.aci_archive import AciWriter
from pumice.formats import tar
from pumice.formats.tar import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.support.handmade import Item

ROOT = Entry("rootfs", "dir", 0o755)


def manifest(name: str = "example.com/hello", **more: Any) -> bytes:
    """Return the manifest of an image."""
    document = {"acKind": "ImageManifest", "acVersion": "0.8.11", "name": name, **more}
    return json.dumps(document).encode()


def archive(*entries: Entry | tuple[Entry, bytes], end: bytes = tar.END_OF_ARCHIVE) -> bytes:
    """Return an archive of entries, whatever they are."""
    blocks = []
    for item in entries:
        entry, content = item if isinstance(item, tuple) and not isinstance(item, Entry) else (item, b"")
        blocks += [tar.encode_header(entry), content, bytes(tar.padding_size(len(content)))]
    return b"".join([*blocks, end])


def file(path: str, content: bytes = b"", **more: Any) -> tuple[Entry, bytes]:
    """Return a file of an archive."""
    return Entry(path, "file", 0o644, size=len(content), **more), content


def manifest_file(data: bytes | None = None) -> tuple[Entry, bytes]:
    """Return the manifest as a file of an archive."""
    return file("manifest", manifest() if data is None else data)


def image(path: Path, items: Sequence[Item], **members: Any) -> str:
    """Write an image with entries below its root; return its image ID."""
    with path.open("wb") as output, AciWriter(manifest(**members), "gzip", output.write) as writer:
        if not items or items[0][0].path:
            writer.add(Entry("", "dir", 0o755))
        for entry, content in items:
            writer.add(entry, io.BytesIO(content) if entry.kind == "file" else None)
        return writer.finish()


COMPRESSIONS: Mapping[str, Any] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "two members of gzip": lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:]),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


def shell(path: Path, app: Mapping[str, Any], *items: Item, **members: Any) -> str:
    """Write an image with busybox that runs ``app`` (default: as root); return its image ID."""
    from tests.support import images
    from tests.support.handmade import file as make_file
    from tests.support.handmade import folder

    made: list[Item] = [folder(""), *map(folder, ("bin", "etc", "root")), folder("tmp", 0o1777)]
    content = images.shell()
    for applet in ("cat", "chmod", "chroot", "env", "grep", "head", "mkdir", "nc", "sleep", "touch", "tr"):
        content[f"bin/{applet}"] = Entry(f"bin/{applet}", "symlink", 0o777, link="busybox")
    for name in sorted(content):
        value = content[name]
        if isinstance(value, Entry):
            made += [(value, b"")] if name != "tmp" else []
        else:
            data = value if isinstance(value, bytes) else value.encode()
            made.append(make_file(name, data, 0o755))
    made += items
    return image(path, made, app={"user": "0", "group": "0", **app}, **members)
