"""Archives of several images, as ``docker save`` and ``podman save`` write them: listed, and written.

A location names one image of an archive. This module knows all that are in one, and writes one that holds
several: an OCI archive with all platforms and referrers, or a Docker archive with one platform of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError, UsageError
from pumice.formats import oci
from pumice.image import referrers
from pumice.image.output import Output
from pumice.image.transports import (
    archive_members,
    docker_archive,
    docker_load,
    layout,
    layout_archive,
    layout_index,
)
from pumice.image.transports.locations import (
    DOCKER_ARCHIVE,
    LAYOUT_ARCHIVE,
    Address,
    Transport,
    select_only_platform,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.image.model import Image
    from pumice.image.transports.archive_members import ArchiveIndex
    from pumice.image.transports.locations import Access

FORMATS = (LAYOUT_ARCHIVE, DOCKER_ARCHIVE)
"""The archives that can be written."""
_DEFAULT_VERSION = "latest"


class SavedImage(msgspec.Struct, frozen=True):
    """An image of an archive: its location, and its name and version there ("" for none)."""

    location: str
    name: str
    version: str


def list_saved_images(path: Path) -> tuple[SavedImage, ...]:
    """Return the images of an OCI archive or a Docker archive under all their names.

    Raises ImageError if there is none, and FormatError.
    """
    if ":" in str(path):
        raise UsageError(
            "cannot read an archive whose path has a colon",
            where=str(path)[:200],
            hint="pass the archive as standard input",
        )
    members = archive_members.index_archive(path)
    if layout.HEADER in members.ranges and layout.INDEX in members.ranges:
        return _list_layout(path, members)
    if docker_load.MANIFEST in members.ranges:
        return _list_docker_archive(path)
    raise ImageError(
        f"not an archive of images: there is neither {layout.INDEX} nor {docker_load.MANIFEST}",
        where=str(path),
    )


def _list_layout(path: Path, members: ArchiveIndex) -> tuple[SavedImage, ...]:
    data = archive_members.read_member(members, members.ranges[layout.INDEX], layout.INDEX)
    images, _ = referrers.split_index(oci.read_index(data))
    if len(images) < 2 or layout_index.is_one_image(images):
        name, version = layout_index.read_name(images[0]) if images else ("", "")
        return (SavedImage(f"{LAYOUT_ARCHIVE.scheme}{path}", name, version),)
    saved = []
    for image in images:
        tag = image.annotations.get(oci.FULL_NAME) or image.annotations.get(oci.REF_NAME, "")
        saved.append(SavedImage(f"{LAYOUT_ARCHIVE.scheme}{path}:{tag}", *layout_index.read_name(image)))
    return tuple(saved)


def _list_docker_archive(path: Path) -> tuple[SavedImage, ...]:
    names = docker_load.list_names(path)
    if not names:
        return (SavedImage(f"{DOCKER_ARCHIVE.scheme}{path}", "", ""),)
    return tuple(
        SavedImage(f"{DOCKER_ARCHIVE.scheme}{path}:{full_name}", *full_name.rpartition(":")[::2])
        for full_name in names
    )


class NamedImage(msgspec.Struct, frozen=True):
    """An image to write, with its name and version ("" for none)."""

    image: Image
    name: str
    version: str

    @property
    def tag(self) -> str:
        """The version, for archives that need one."""
        return self.version or _DEFAULT_VERSION


def write_saved_images(images: Sequence[NamedImage], transport: Transport, path: str, access: Access) -> None:
    """Write an archive of several images, one of `FORMATS`: equal bytes for equal images.

    Raises ImageError and UsageError.
    """
    with Output(path, access.stdout) as output:
        if transport is DOCKER_ARCHIVE:
            address = Address(transport, path)
            docker_archive.write_archive(
                [
                    docker_archive.DockerImage(
                        select_only_platform(named.image, address),
                        docker_archive.image_name(named.name, named.tag),
                    )
                    for named in images
                ],
                output,
                progress=access.progress,
            )
        else:
            contents = [layout.layout_content(named.image, named.tag, name=named.name) for named in images]
            layout_archive.write_contents(contents, output, progress=access.progress)
