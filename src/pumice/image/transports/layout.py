"""OCI image layouts in a directory (image-spec 1.1, image-layout.md): ``oci:DIR[:TAG]``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice import digest
from pumice.errors import ImageError
from pumice.formats import oci
from pumice.image import referrers
from pumice.image.model import Image, list_blobs
from pumice.image.regular_file import open_regular, read_small
from pumice.image.transports import cosign_layout, layout_index
from pumice.os_errors import suggest_path

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor

HEADER = "oci-layout"
INDEX = "index.json"
BLOBS = "blobs/sha256"
MAX_HEADER = 4096


# Reading ------------------------------------------------------------------------------------------


class LayoutBlobs:
    """The blobs of a layout directory."""

    def __init__(self, directory: Path) -> None:
        self._blobs = directory / BLOBS

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob; raises ImageError if there is none. The reader checks its digest."""
        path = self._blobs / digest.hex_of(digest_)
        file = open_regular(path)
        if file is None:
            raise ImageError(f"the layout has no blob {digest_}", where=str(self._blobs.parent.parent))
        return file


def read_layout(directory: Path, tag: str = "") -> Image:
    """Return the image with a tag in a layout, or the only image; raises ImageError."""
    header = read_small(directory / HEADER, MAX_HEADER)
    index = read_small(directory / INDEX, oci.MAX_DOCUMENT)
    if header is None or index is None:
        if not directory.exists():
            raise ImageError("no such directory", where=str(directory), hint=suggest_path(directory))
        missing = HEADER if header is None else INDEX
        hint = "write an image into it with 'pumice copy REF oci:DIR'"
        raise ImageError(f"not an OCI layout: there is no {missing}", where=str(directory), hint=hint)
    oci.read_layout_header(header)
    image = layout_index.select_image(index, tag, str(directory), LayoutBlobs(directory))
    if cosign_layout.KIND in image.root.annotations:
        listed_digests = {descriptor.digest for descriptor in image.listed_referrers}
        unlisted = cosign_layout.find_unlisted(directory / BLOBS, image.root)
        image.listed_referrers += tuple(
            descriptor for descriptor in unlisted if descriptor.digest not in listed_digests
        )
    return image


# Writing ------------------------------------------------------------------------------------------


class LayoutContent(msgspec.Struct, frozen=True):
    """A layout of one image: its ``index.json``, the descriptors of its blobs, and where to read them."""

    index: bytes
    blobs: tuple[Descriptor, ...]
    image: Image


def layout_content(
    image: Image, tag: str, *, name: str = "", referrers_in_index: bool = False
) -> LayoutContent:
    """Return the layout of an image; equal images, referrers, names and tags give equal layouts.

    Referrers are listed in an index that an annotation names. With ``referrers_in_index`` they are listed
    in ``index.json`` itself, which oras and cosign need, and skopeo, buildah and crane reject.
    """
    root, attached = image.root, referrers.gather_referrers(image)
    annotations = layout_index.name_annotations(name, tag)
    blobs, documents = list_blobs(image) + attached.blobs, []
    if attached.artifacts and not referrers_in_index:
        documents.append(attached.index())
        descriptor = oci.make_descriptor(documents[0], oci.INDEX)
        annotations[oci.REFERRERS] = descriptor.digest
        blobs = (*blobs, descriptor)
    pointer = oci.Descriptor(
        root.media_type, root.digest, root.size, annotations, artifact_type=root.artifact_type
    )
    descriptors = (
        cosign_layout.mark_for_cosign(pointer, attached.artifacts) if referrers_in_index else (pointer,)
    )
    unique_blobs = tuple({blob.digest: blob for blob in blobs}.values())
    index = oci.encode_document(oci.make_index(descriptors))
    return LayoutContent(index, unique_blobs, Image(root, referrers.OverlaidBlobs(documents, image.blobs)))


def layout_header() -> bytes:
    """Return the ``oci-layout`` file."""
    return oci.encode_document(oci.LayoutHeader(oci.LAYOUT_VERSION))
