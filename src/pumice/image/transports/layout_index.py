"""The ``index.json`` of a layout: which of its descriptors is the image, and how images are named in it.

Usually it lists one descriptor for each image. Some tools write the index of a single image for several
platforms instead: then the file itself is the index of the image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import ImageError
from pumice.formats import oci
from pumice.formats.image_names import is_full_name, is_tag
from pumice.image import referrers
from pumice.image.model import Image
from pumice.image.transports import cosign_layout
from pumice.image.transports.locations import OpenedImage, open_local_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor
    from pumice.image.model import BlobSource

_UNKNOWN = "unknown"


def select_image(data: bytes, tag: str, where: str, blobs: BlobSource) -> Image:
    """Return the image with ``tag`` in an ``index.json``, or the only image, with its referrers.

    ``tag`` may be a full name where the layout has them. Raises ImageError, FormatError.
    """
    index = oci.read_index(data)
    images, listed_referrers = referrers.split_index(index)
    attached = tuple(cosign_layout.remove_mark(descriptor) for descriptor in listed_referrers)
    candidates = _find_tagged(images, tag, where)
    if len(candidates) > 1 and is_one_image(candidates):
        index_document = (
            data if candidates == index.manifests else oci.encode_document(oci.make_index(candidates))
        )
        root = oci.make_descriptor(index_document, oci.INDEX)
        blobs = referrers.OverlaidBlobs([index_document], blobs)
    elif len(candidates) > 1 and not tag:
        raise ImageError(
            f"the layout holds {len(candidates)} images",
            where=where,
            hint=f"choose one by appending :TAG; the tags are {_list_tags(images)}",
        )
    else:
        root = candidates[0]
    if not attached and oci.REFERRERS not in root.annotations:
        return Image(root, blobs)
    all_referrers = attached + referrers.read_named_index(root, blobs)
    return Image(root, blobs, referrers.LayoutReferrers(root, attached, blobs), all_referrers)


def _find_tagged(images: tuple[Descriptor, ...], tag: str, where: str) -> tuple[Descriptor, ...]:
    if not images:
        raise ImageError("the layout holds no image", where=where)
    if not tag:
        return images
    for annotation in (oci.REF_NAME, oci.FULL_NAME):
        candidates = tuple(image for image in images if image.annotations.get(annotation) == tag)
        if candidates:
            return candidates
    raise ImageError(f"the layout has no tag {tag!r}", where=where, hint=f"the tags are {_list_tags(images)}")


def _list_tags(images: Sequence[Descriptor]) -> str:
    names = {
        descriptor.annotations.get(oci.REF_NAME) or descriptor.annotations.get(oci.FULL_NAME, "")
        for descriptor in images
    }
    return ", ".join(sorted(name for name in names if name)[:20]) or "none"


def is_one_image(candidates: Sequence[Descriptor]) -> bool:
    """Return whether descriptors are the platforms of one image: different platforms, and the same name.

    BuildKit lists attestations for the platform ``unknown/unknown``.
    """
    platforms = [candidate.platform for candidate in candidates if candidate.platform is not None]
    names = {candidate.annotations.get(oci.REF_NAME, "") for candidate in candidates}
    runnable = [
        (platform.os, platform.architecture, platform.variant, platform.os_version)
        for platform in platforms
        if _UNKNOWN not in (platform.os, platform.architecture)
    ]
    is_complete = len(platforms) == len(candidates) and len(names) == 1
    return is_complete and bool(runnable) and len(set(runnable)) == len(runnable)


def name_annotations(name: str, tag: str) -> dict[str, str]:
    """Return the annotations that name an image in ``index.json``.

    ``ref.name`` is the tag, by which skopeo, umoci and buildah choose. containerd, docker and podman load
    an image under its full name, which is omitted if ``name`` and ``tag`` are not a valid one.
    """
    if ":" in tag or "/" in tag:  # a full name, NAME:TAG
        name_part, colon, version_part = tag.rpartition(":")
        full_name, version = (
            (name_part, version_part) if colon and "/" not in version_part else (tag, "latest")
        )
    else:
        full_name, version = name, tag
    if not is_full_name(full_name) or not is_tag(version):
        return {oci.REF_NAME: tag}
    return {oci.REF_NAME: tag, oci.FULL_NAME: f"{full_name}:{version}"}


def read_name(root: Descriptor) -> tuple[str, str]:
    """Return the name and the tag of an image in a layout; each is "" if the layout has none."""
    name, colon, tag = root.annotations.get(oci.FULL_NAME, "").rpartition(":")
    if not colon or "/" in tag or not is_full_name(name) or not is_tag(tag):
        return "", root.annotations.get(oci.REF_NAME, "")
    return name, root.annotations.get(oci.REF_NAME, "") or tag


def open_image(image: Image, tag: str) -> OpenedImage:
    """Return an image of a layout or archive as opened; ``tag`` is the tag that selected it, or ""."""
    name, version = read_name(image.root)
    version = tag if tag and not name else version
    return OpenedImage(image, lambda: open_local_source(image), name, version)
