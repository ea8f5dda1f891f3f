"""Archives that ``docker load`` reads (moby, image/spec/v1.2: manifest.json): ``docker-archive:FILE[:TAG]``.

Compressed layers are written as they are, which every reader of the last ten years accepts. Only
zstandard layers are decompressed, because older readers do not support it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import canonical, digest
from pumice.errors import UsageError
from pumice.formats.image_names import is_full_name, is_tag
from pumice.image import tar_archive
from pumice.image.blob_copy import Blob, Content, UncompressedLayer
from pumice.image.output import Output
from pumice.image.transports.locations import Address, Description, refuse_attaching, select_only_platform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.image.layer import Layer
    from pumice.image.model import Image
    from pumice.image.transports.locations import Access, Attachment, Counts, OpenedImage, OutgoingImage
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
            write_archive([DockerImage(image, name)], output, progress=access.progress)
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


class DockerImage(msgspec.Struct, frozen=True):
    """An image of one platform, and the ``NAME:TAG`` that it is loaded as, "" for no name."""

    image: Image
    name: str


def write_archive(images: Sequence[DockerImage], output: Output, *, progress: Progress) -> None:
    """Write images that are loaded under their names: the same bytes for the same images."""
    contents: dict[str, Content] = {}
    entries: dict[str, dict[str, Any]] = {}
    repositories: dict[str, dict[str, str]] = {}
    for docker_image in images:
        manifest = docker_image.image.manifest()
        config = f"{digest.hex_of(manifest.config.digest)}.json"
        contents.setdefault(config, Blob(manifest.config, docker_image.image.blobs))
        layers: list[str] = []
        for layer in docker_image.image.layers():
            path, content = _open_layer_content(docker_image.image, layer)
            layers.append(path)
            contents.setdefault(path, content)
        # An image with several names has one entry.
        entry = entries.setdefault(config, {"Config": config, "RepoTags": None, "Layers": layers})
        if docker_image.name:
            entry["RepoTags"] = [*(entry["RepoTags"] or ()), docker_image.name]
            _add_repository(repositories, docker_image.name, layers)
    repositories_data = [tar_archive.text_member("repositories", canonical.dumps(repositories))]
    members = [
        tar_archive.text_member("manifest.json", canonical.dumps(list(entries.values()))),
        *(repositories_data if repositories else ()),
        *(tar_archive.TarMember(path, content) for path, content in contents.items()),
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


def _add_repository(repositories: dict[str, dict[str, str]], name: str, layers: list[str]) -> None:
    """Add a name to the ``repositories`` file, where engines older than manifest.json look for names."""
    if layers:
        repository, _, tag = name.rpartition(":")
        repositories.setdefault(repository, {})[tag] = layers[-1].split(".", 1)[0]
