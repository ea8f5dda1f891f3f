"""OCI image layouts in one tar file (image-spec 1.1, image-layout.md), read and written.

What skopeo, podman and containerd call an OCI archive. The small files come first, so that a reader
of a stream knows early what it is about.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pumice import digest
from pumice.errors import ImageError
from pumice.formats import oci
from pumice.image import tar_archive
from pumice.image.blob_copy import Blob
from pumice.image.model import Archive
from pumice.image.transports import layout, layout_index
from pumice.image.transports.archive_members import look, scan, section, small

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.image.output import Output
    from pumice.image.transports.archive_members import Members
    from pumice.progress import Progress


class ArchiveBlobs:
    """The blobs of an archive, read where they lie."""

    def __init__(self, members: Members, path: Path) -> None:
        self._members = members
        self._path = path

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob; raises ImageError when it is not there. Whoever reads it checks it."""
        place = self._members.places.get(f"{layout.BLOBS}/{digest.hex_of(digest_)}")
        if place is None:
            raise ImageError(f"the archive has no blob {digest_}", where=str(self._path))
        return section(self._members, *place)


def read(path: Path, tag: str = "") -> Image:
    """Return the image called ``tag`` in an archive, or the only one; raises ImageError."""
    seen = look(path)
    members = scan(path)
    places = members.places
    blobs = ArchiveBlobs(members, path)
    for name in (layout.HEADER, layout.INDEX):
        if name not in places:
            raise _no_layout(path, places, name)
    header, index = (small(members, places[name], name) for name in (layout.HEADER, layout.INDEX))
    oci.read_layout_header(header)
    return layout_index.select(index, tag, str(path), blobs).inside(Archive(path, seen))


def _no_layout(path: Path, places: Mapping[str, object], name: str) -> ImageError:
    hint = f"read it as docker-archive:{path}" if "manifest.json" in places else None
    return ImageError(f"this is not an OCI archive: it has no {name}", where=str(path), hint=hint)


def write(
    image: Image, output: Output, tag: str, *, progress: Progress, name: str = "", listed: bool = False
) -> None:
    """Write a layout of just this image, tagged ``tag``, as a tar file: equal images, equal bytes.

    ``name`` and ``listed`` are as in `layout.whole`.
    """
    made = layout.whole(image, tag, name=name, listed=listed)
    blobs = [
        tar_archive.Part(
            f"{layout.BLOBS}/{digest.hex_of(descriptor.digest)}", Blob(descriptor, made.image.blobs)
        )
        for descriptor in sorted(made.parts, key=lambda descriptor: descriptor.digest)
    ]
    parts = [
        tar_archive.text(layout.HEADER, layout.header()),
        tar_archive.text(layout.INDEX, made.index),
        tar_archive.Part("blobs"),
        tar_archive.Part(layout.BLOBS),
        *blobs,
    ]
    tar_archive.write(parts, output, progress)
