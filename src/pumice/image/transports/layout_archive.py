"""OCI image layouts in a tar file (image-spec 1.1, image-layout.md): ``oci-archive:FILE[:TAG]``.

skopeo, podman and containerd call this an OCI archive. The small files come first, so that a
program that reads a stream gets the index before the blobs.
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
from pumice.image.output import Output
from pumice.image.transports import layout, layout_index
from pumice.image.transports.archive_members import index_archive, open_member, read_member, read_status
from pumice.image.transports.locations import Address, Description, choose_tag, refuse_attaching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.digest import Digest
    from pumice.image.model import Image
    from pumice.image.transports.archive_members import ArchiveIndex
    from pumice.image.transports.layout import LayoutContent
    from pumice.image.transports.locations import Access, Attachment, Counts, OpenedImage, OutgoingImage
    from pumice.progress import Progress


class LayoutArchiveLocation:
    """A layout in a tar file."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def open(self, access: Access) -> OpenedImage:
        """Return the image; raises ImageError if there is none, or several."""
        return layout_index.open_image(
            read_archive(Path(self.address.path), self.address.tag), self.address.tag
        )

    def check(self, name: str, version: str) -> None:
        """Refuse a version that is not a tag."""
        choose_tag(self.address, version)

    def write(self, outgoing: OutgoingImage, access: Access) -> Counts:
        """Write the image to the file, or to standard output."""
        tag = choose_tag(self.address, outgoing.version)
        with Output(self.address.path, access.stdout) as output:
            write_archive(
                outgoing.image,
                output,
                tag,
                progress=access.progress,
                name=outgoing.name,
                referrers_in_index=outgoing.referrers_in_index,
            )
        return outgoing.counts()

    def attach(self, image: Image, access: Access) -> Attachment:
        """Raise UsageError: an archive is written once."""
        raise refuse_attaching(self.address)

    def describe(self, version: str = "") -> Description:
        """Return the description of the location."""
        return Description(str(self.address))


class ArchiveBlobs:
    """The blobs of an archive, read from where they are in the file."""

    def __init__(self, members: ArchiveIndex, path: Path) -> None:
        self._members = members
        self._path = path

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob; raises ImageError if there is none. The reader checks its digest."""
        blob_range = self._members.ranges.get(f"{layout.BLOBS}/{digest.hex_of(digest_)}")
        if blob_range is None:
            raise ImageError(f"the archive has no blob {digest_}", where=str(self._path))
        return open_member(self._members, *blob_range)


def read_archive(path: Path, tag: str = "") -> Image:
    """Return the image with a tag in an archive, or the only image; raises ImageError."""
    status = read_status(path)
    members = index_archive(path)
    ranges = members.ranges
    blobs = ArchiveBlobs(members, path)
    for name in (layout.HEADER, layout.INDEX):
        if name not in ranges:
            raise _make_not_a_layout_error(path, ranges, name)
    header, index = (read_member(members, ranges[name], name) for name in (layout.HEADER, layout.INDEX))
    oci.read_layout_header(header)
    return layout_index.select_image(index, tag, str(path), blobs).inside(Archive(path, status))


def _make_not_a_layout_error(path: Path, ranges: Mapping[str, object], name: str) -> ImageError:
    hint = f"read it as docker-archive:{path}" if "manifest.json" in ranges else "is it an archive of images?"
    return ImageError(f"not an OCI archive: there is no {name}", where=str(path), hint=hint)


def write_archive(
    image: Image,
    output: Output,
    tag: str,
    *,
    progress: Progress,
    name: str = "",
    referrers_in_index: bool = False,
) -> None:
    """Write a layout with only this image as a tar file; equal images give equal bytes.

    ``tag``, ``name`` and ``referrers_in_index`` are as in `layout.layout_content`.
    """
    content = layout.layout_content(image, tag, name=name, referrers_in_index=referrers_in_index)
    write_contents([content], output, progress=progress)


def write_contents(contents: Sequence[LayoutContent], output: Output, *, progress: Progress) -> None:
    """Write one layout with the images of several, in their order: the same bytes for the same images."""
    blobs = {
        descriptor.digest: tar_archive.TarMember(
            f"{layout.BLOBS}/{digest.hex_of(descriptor.digest)}", Blob(descriptor, content.image.blobs)
        )
        for content in contents
        for descriptor in content.blobs
    }
    listed = [descriptor for content in contents for descriptor in oci.read_index(content.index).manifests]
    index = contents[0].index if len(contents) == 1 else oci.encode_document(oci.make_index(tuple(listed)))
    members = [
        tar_archive.text_member(layout.HEADER, layout.layout_header()),
        tar_archive.text_member(layout.INDEX, index),
        tar_archive.TarMember("blobs"),
        tar_archive.TarMember(layout.BLOBS),
        *(blobs[key] for key in sorted(blobs)),
    ]
    tar_archive.write_archive(members, output, progress)
