"""Archives that ``docker load`` reads (moby, image/spec/v1.2: manifest.json): ``docker-archive:FILE[:TAG]``.

Compressed layers are written as they are, which every reader of the last ten years accepts. Only
zstandard layers are decompressed, because older readers do not support it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice import canonical, digest
from pumice.errors import UsageError
from pumice.formats.image_names import is_full_name, is_tag
from pumice.image import tar_archive
from pumice.image.blob_copy import Blob, Content, UncompressedLayer
from pumice.image.output import Output
from pumice.image.transports.location_checks import refuse_attaching, select_only_platform
from pumice.image.transports.locations import Address, Description

if TYPE_CHECKING:
    from pumice.image.layer import Layer
    from pumice.image.model import Image
    from pumice.image.transports.attachment import Attachment
    from pumice.image.transports.locations import Access, Counts, OpenedImage, OutgoingImage
    from pumice.progress import Progress


class DockerArchiveLocation:
    """A file for ``docker load``; its tag can be a full name, ``NAME:TAG``."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def open(self, access: Access) -> OpenedImage:
        """Return the image; raises ImageError if there is none, or several."""
        from pumice.image.transports import docker_load, layout_index

        image = docker_load.read_archive(Path(self.address.path), self.address.tag)
        return layout_index.open_image(image, self.address.tag)

    def check(self, name: str, version: str) -> None:
        """Refuse a name or version that Docker does not accept."""
        image_name(name, self.address.tag or version)

    def write(self, outgoing: OutgoingImage, access: Access) -> Counts:
        """Write the image to the file, or to standard output."""
        image = select_only_platform(outgoing.image, self.address)
        with Output(self.address.path, access.stdout) as output:
            name = image_name(outgoing.name, self.address.tag or outgoing.version)
            write_archive(image, output, name, progress=access.progress)
        return outgoing.counts()

    def attach(self, image: Image, access: Access) -> Attachment:
        """Raise UsageError: an archive is written once."""
        raise refuse_attaching(self.address)

    def describe(self, version: str = "") -> Description:
        """Return the description of the location."""
        return Description(str(self.address))


def image_name(name: str, tag: str) -> str:
    """Return the ``NAME:TAG`` that the image gets when it is loaded, "" if it has no name.

    ``tag`` may be a full ``NAME:TAG`` itself. Raises UsageError for a name that Docker does not accept.
    """
    if ":" in tag or "/" in tag:
        full_name, colon, version = tag.rpartition(":")
        name, tag = (full_name, version) if colon and "/" not in version else (tag, "")
    if not name:
        return ""
    tag = tag or "latest"
    if not is_full_name(name) or not is_tag(tag):
        raise UsageError(
            f"{f'{name}:{tag}'[:300]!r} is not an image name that Docker accepts",
            hint="write docker-archive:FILE:NAME:TAG, with NAME in lower case",
        )
    return f"{name}:{tag}"


def write_archive(image: Image, output: Output, name: str, *, progress: Progress) -> None:
    """Write an image of one platform that is loaded as ``name``; equal images give equal bytes."""
    manifest = image.manifest()
    config = f"{digest.hex_of(manifest.config.digest)}.json"
    contents: dict[str, Content] = {}
    layers: list[str] = []
    for layer in image.layers():
        path, content = _open_layer_content(image, layer)
        layers.append(path)
        contents.setdefault(path, content)
    images = [{"Config": config, "RepoTags": [name] if name else None, "Layers": layers}]
    members = [
        tar_archive.text_member("manifest.json", canonical.dumps(images)),
        *_make_repositories_member(name, layers),
        tar_archive.TarMember(config, Blob(manifest.config, image.blobs)),
        *(tar_archive.TarMember(path, contents[path]) for path in contents),
    ]
    tar_archive.write_archive(members, output, progress)


def _open_layer_content(image: Image, layer: Layer) -> tuple[str, Content]:
    with layer.open() as stream:
        compression = stream.compression
    if compression == "gzip":
        return f"{digest.hex_of(layer.descriptor.digest)}.tar.gz", Blob(layer.descriptor, image.blobs)
    if compression == "plain":
        return f"{digest.hex_of(layer.descriptor.digest)}.tar", Blob(layer.descriptor, image.blobs)
    return f"{digest.hex_of(layer.diff_id)}.tar", UncompressedLayer(layer)


def _make_repositories_member(name: str, layers: list[str]) -> list[tar_archive.TarMember]:
    """Return the ``repositories`` file, where engines older than manifest.json look for names."""
    if not name or not layers:
        return []
    repository, _, tag = name.rpartition(":")
    top_layer_id = layers[-1].split(".", 1)[0]
    return [tar_archive.text_member("repositories", canonical.dumps({repository: {tag: top_layer_id}}))]
