"""The archives that ``docker load`` reads (moby, image/spec/v1.2: manifest.json), written.

Compressed layers stay as they are, which every reader of the last ten years accepts; only
zstandard ones are unpacked, because older ones do not know it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice import canonical, digest
from pumice.errors import UsageError
from pumice.image import tar_archive
from pumice.image.blob_copy import Blob, Content, Unpacked

if TYPE_CHECKING:
    from pumice.image.layer import Layer
    from pumice.image.model import Image
    from pumice.image.output import Output
    from pumice.progress import Progress

# github.com/distribution/reference, regexp.go
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?"
_NAME = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def reference(name: str, tag: str) -> str:
    """Return the ``NAME:TAG`` to load the image as, empty when there is no name for it.

    ``tag`` may be a whole ``NAME:TAG`` itself; raises UsageError when Docker knows no such names.
    """
    if ":" in tag or "/" in tag:
        head, colon, tail = tag.rpartition(":")
        name, tag = (head, tail) if colon and "/" not in tail else (tag, "")
    if not name:
        return ""
    tag = tag or "latest"
    if not _NAME.fullmatch(name) or len(name) > 255 or not _TAG.fullmatch(tag):
        raise UsageError(
            f"{f'{name}:{tag}'[:300]!r} is no name for Docker",
            hint="give one that is: docker-archive:FILE:NAME:TAG, with NAME in lower case",
        )
    return f"{name}:{tag}"


def write(image: Image, output: Output, name: str, *, progress: Progress) -> None:
    """Write an image of one platform, to be loaded as ``name``: equal images, equal bytes."""
    manifest = image.manifest()
    config = f"{digest.hex_of(manifest.config.digest)}.json"
    contents: dict[str, Content] = {}
    layers: list[str] = []
    for layer in image.layers():
        path, content = _layer(image, layer)
        layers.append(path)
        contents.setdefault(path, content)
    listed = [{"Config": config, "RepoTags": [name] if name else None, "Layers": layers}]
    parts = [
        tar_archive.text("manifest.json", canonical.dumps(listed)),
        *_repositories(name, layers),
        tar_archive.Part(config, Blob(manifest.config, image.blobs)),
        *(tar_archive.Part(path, contents[path]) for path in contents),
    ]
    tar_archive.write(parts, output, progress)


def _layer(image: Image, layer: Layer) -> tuple[str, Content]:
    with layer.open() as stream:
        compression = stream.compression
    if compression == "gzip":
        return f"{digest.hex_of(layer.descriptor.digest)}.tar.gz", Blob(layer.descriptor, image.blobs)
    if compression == "plain":
        return f"{digest.hex_of(layer.descriptor.digest)}.tar", Blob(layer.descriptor, image.blobs)
    return f"{digest.hex_of(layer.diff_id)}.tar", Unpacked(layer)


def _repositories(name: str, layers: list[str]) -> list[tar_archive.Part]:
    """The names as engines before manifest.json looked for them."""
    if not name or not layers:
        return []
    repository, _, tag = name.rpartition(":")
    top = layers[-1].split(".", 1)[0]
    return [tar_archive.text("repositories", canonical.dumps({repository: {tag: top}}))]
