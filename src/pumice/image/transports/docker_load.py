"""Reads the archives that ``docker save`` and ``podman save`` write (moby, image/spec: manifest.json).

They contain an image without a manifest: a config and the tar files of the layers. The manifest is generated
here, the same one for the same archive; the bytes of the config and the layers do not change. Old archives
have layers at ``ID/layer.tar``, and links between equal ones; new archives have ``blobs/sha256/HEX``.
"""

from __future__ import annotations

import hashlib
import io
import posixpath
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice import digest
from pumice.decoding import decode_json
from pumice.errors import FormatError, ImageError
from pumice.formats import oci
from pumice.formats.compression import detect_compression
from pumice.image.model import Archive, Image
from pumice.image.transports import archive_members, layout_index
from pumice.terminal import format_count

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.transports.archive_members import ArchiveIndex

MANIFEST = "manifest.json"
_MAX_LAYERS = 1000
_MAX_LINKS = 8
_CHUNK = 1 << 20
_LAYERS = {"plain": oci.LAYER_TAR, "gzip": oci.LAYER_GZIP, "zstd": oci.LAYER_ZSTD}


class _SavedImage(msgspec.Struct, frozen=True, rename="pascal"):
    """One image of an archive: the paths of its members, and its names."""

    config: str
    layers: tuple[str, ...] | None = None
    repo_tags: tuple[str, ...] | None = None


class _ArchiveBlobs:
    """Members of an archive by their digests, and documents in memory."""

    def __init__(
        self, members: ArchiveIndex, ranges: dict[Digest, tuple[int, int]], documents: dict[Digest, bytes]
    ) -> None:
        self._members = members
        self._places = ranges
        self._documents = documents

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob; raises ImageError if there is none. The reader checks its digest."""
        if digest_ in self._documents:
            return io.BytesIO(self._documents[digest_])
        blob_range = self._places.get(digest_)
        if blob_range is None:
            raise ImageError(f"the archive has no blob {digest_}", where=str(self._members.path))
        return archive_members.open_member(self._members, *blob_range)


def read_archive(path: Path, name: str = "") -> Image:
    """Return the image called ``name`` (``NAME:TAG``, or TAG alone) in an archive, or the only one.

    Raises ImageError, FormatError.
    """
    status = archive_members.read_status(path)
    members = archive_members.index_archive(path)
    saved_image = _choose_image(_read_images(path, members), name, str(path))
    config = archive_members.read_member(
        members, _find_member(members, saved_image.config, path), saved_image.config
    )
    diff_ids = oci.read_config(config).rootfs.diff_ids
    layers = saved_image.layers or ()
    if len(layers) != len(diff_ids) or len(layers) > _MAX_LAYERS:
        raise FormatError(
            f"the archive has {format_count(len(layers), 'layer')}, the image's config {len(diff_ids)}",
            where=str(path),
        )
    ranges: dict[Digest, tuple[int, int]] = {}
    descriptors = []
    known_layers: dict[tuple[int, int], Descriptor] = {}  # an archive may list a member any number of times
    for layer, diff_id in zip(layers, diff_ids, strict=True):
        layer_range = _find_member(members, layer, path)
        descriptor = known_layers.get(layer_range) or _describe_layer(
            members, layer_range, digest.check(diff_id)
        )
        known_layers[layer_range] = descriptor
        ranges[descriptor.digest] = layer_range
        descriptors.append(descriptor)
    manifest = oci.encode_document(
        oci.make_manifest(oci.make_descriptor(config, oci.CONFIG), tuple(descriptors))
    )
    documents = {digest.of(data): data for data in (config, manifest)}
    full_name = (saved_image.repo_tags or ("",))[0]
    manifest_descriptor = oci.make_descriptor(manifest, oci.MANIFEST)
    repository, _, tag = full_name.rpartition(":")
    annotations = layout_index.name_annotations(repository, tag) if repository and tag else {}
    root = msgspec.structs.replace(manifest_descriptor, annotations=annotations)
    return Image(root, _ArchiveBlobs(members, ranges, documents)).inside(Archive(path, status))


def list_names(path: Path) -> tuple[str, ...]:
    """Return the names of all images in an archive, each ``NAME:TAG``; raises ImageError, FormatError."""
    images = _read_images(path, archive_members.index_archive(path))
    return tuple(dict.fromkeys(name for saved in images for name in saved.repo_tags or ()))


def _read_images(path: Path, members: ArchiveIndex) -> tuple[_SavedImage, ...]:
    if MANIFEST not in members.ranges:
        is_layout = "index.json" in members.ranges
        raise ImageError(
            f"this is not an archive of docker save: it has no {MANIFEST}",
            where=str(path),
            hint=f"read it as oci-archive:{path}" if is_layout else "save it again with docker 1.10 or newer",
        )
    data = archive_members.read_member(members, members.ranges[MANIFEST], MANIFEST)
    try:
        images = decode_json(data, tuple[_SavedImage, ...])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise FormatError(f"the archive's {MANIFEST} is malformed", where=str(path)) from None
    if not images:
        raise ImageError("the archive holds no image", where=str(path))
    return images


def _choose_image(images: tuple[_SavedImage, ...], name: str, where: str) -> _SavedImage:
    names = sorted({tag for saved_image in images for tag in saved_image.repo_tags or ()})
    all_names = ", ".join(names[:20]) or "none"
    if not name:
        if len(images) > 1:
            raise ImageError(
                f"the archive holds {len(images)} images",
                where=where,
                hint=f"choose one by appending :NAME:TAG; the names are {all_names}",
            )
        return images[0]
    for saved_image in images:
        if name in (saved_image.repo_tags or ()):
            return msgspec.structs.replace(saved_image, repo_tags=(name,))
    matching_images = [
        msgspec.structs.replace(saved_image, repo_tags=(full_name,))
        for saved_image in images
        for full_name in saved_image.repo_tags or ()
        if full_name.rpartition(":")[2] == name
    ]
    if len(matching_images) != 1:
        raise ImageError(f"the archive has no image {name!r}", where=where, hint=f"the names are {all_names}")
    return matching_images[0]


def _find_member(members: ArchiveIndex, name: str, path: Path) -> tuple[int, int]:
    """Return the position and size of a member, following links within the archive."""
    current = posixpath.normpath(name)
    for _ in range(_MAX_LINKS):
        if current in members.ranges:
            return members.ranges[current]
        if current not in members.links:
            break
        current = members.links[current]
    raise FormatError(f"the archive has no member {name[:200]!r}", where=str(path))


def _describe_layer(members: ArchiveIndex, layer_range: tuple[int, int], diff_id: Digest) -> Descriptor:
    """Return a layer's descriptor; for an uncompressed layer, the diff ID is the digest."""
    with archive_members.open_member(members, *layer_range) as file:
        start = file.read(6)
        compression = detect_compression(start)
        if compression not in _LAYERS:
            raise FormatError(
                f"a layer of the archive is compressed with {compression}", where=str(members.path)
            )
        if compression == "plain":
            return oci.Descriptor(oci.LAYER_TAR, diff_id, layer_range[1])
        content_hash = hashlib.sha256(start)
        while data := file.read(_CHUNK):
            content_hash.update(data)
    return oci.Descriptor(_LAYERS[compression], f"sha256:{content_hash.hexdigest()}", layer_range[1])
