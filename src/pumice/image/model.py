"""An image: a root descriptor and a source of blobs, from which everything else is derived.

Every location (the store, a layout, an archive, a registry) supplies a `BlobSource`. An `Image` is never
changed: selecting a platform returns a new one. Every document is checked against its digest before it is
parsed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from pumice import digest
from pumice.errors import FormatError, ImageError, TrustError
from pumice.formats import oci, platforms
from pumice.terminal import format_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor, ImageConfig, Manifest, Platform
    from pumice.image.layer import Layer

_MAX_DEPTH = 4
_MAX_DOCUMENTS = 4096
_MAX_TOTAL = 128 << 20
"""Bytes of all manifests, indexes and configs of one image; a large one has 1 MiB."""
_UNKNOWN = "unknown"


class BlobSource(Protocol):
    """A source of blobs."""

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob; raises PumiceError if there is none."""


class Archive(msgspec.Struct, frozen=True):
    """A file that contains an image, with its status before it was read.

    ``signature`` is the file with its detached signatures, None for the default name. ``signers`` has the
    signatures that were verified while the file was written: packets with the fingerprints of their keys.
    """

    path: Path
    status: tuple[int, ...]
    signature: Path | None = None
    signers: tuple[tuple[bytes, str], ...] = ()


class Image:
    """A manifest or an index with everything that it refers to, in any location."""

    def __init__(
        self,
        root: Descriptor,
        blobs: BlobSource,
        referrers: Callable[[Digest], Sequence[Descriptor]] | None = None,
        listed_referrers: tuple[Descriptor, ...] = (),
        archive: Archive | None = None,
        registry_name: str = "",
    ) -> None:
        """``referrers`` returns the referrers of a manifest or index by digest, if the location has any.

        ``listed_referrers`` are the descriptors of referrers that a layout lists next to the image, as they
        are written there. ``archive`` is the file that the image was read from, if the location is a file.
        ``registry_name`` is the ``HOST/REPO:TAG`` for which a registry returned the image; it is empty for
        other locations and for a digest.
        """
        self.root = root
        self.blobs = blobs
        self.listed_referrers = listed_referrers
        self.archive = archive
        self.registry_name = registry_name
        self._documents = _Documents()
        self._find_referrers = referrers

    def referrers(self, subject: Digest = "") -> tuple[Descriptor, ...]:
        """Return the descriptors of the referrers of ``subject``, which is the root by default.

        Evidence and signatures are referrers. Raises the errors of the location.
        """
        return tuple(self._find_referrers(subject or self.root.digest)) if self._find_referrers else ()

    def document(self, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest, index or config, exactly as the location has them.

        Raises TrustError if they do not have the descriptor's digest, and FormatError if they have more than
        4 MiB, or if all documents read so far have more than 128 MiB.
        """
        return self._documents.get(descriptor, self.blobs)

    def is_index(self) -> bool:
        """Return whether the root is an index."""
        return oci.is_index(self.document(self.root), self.root.media_type)

    def walk(self) -> Iterator[tuple[Descriptor, bytes]]:
        """Yield the root and every manifest and index below it with its bytes, each once."""
        for descriptor in self._walk_descriptors():
            yield descriptor, self.document(descriptor)

    def _walk_descriptors(self) -> Iterator[Descriptor]:
        """Yield the root and what is below it, reading indexes only."""
        pending = [(self.root, 0)]
        visited: set[Digest] = set()
        while pending:
            descriptor, depth = pending.pop(0)
            if descriptor.digest in visited:
                continue
            visited.add(descriptor.digest)
            if depth > _MAX_DEPTH or len(visited) > _MAX_DOCUMENTS:
                raise FormatError("the image's indexes are nested too deeply or list too many manifests")
            yield descriptor
            if self._is_index_descriptor(descriptor):
                children = oci.read_index(self.document(descriptor)).manifests
                pending = [(child, depth + 1) for child in children if oci.is_document(child)] + pending

    def _is_index_descriptor(self, descriptor: Descriptor) -> bool:
        """Return whether a descriptor is that of an index. One with a platform is that of a manifest."""
        if descriptor.platform and descriptor.media_type in oci.MANIFESTS:
            return False
        return oci.is_index(self.document(descriptor), descriptor.media_type)

    def members(self) -> tuple[tuple[Descriptor, Platform], ...]:
        """Return the descriptor and platform of every runnable manifest, in the index's order.

        Attestations and other artifacts that an index may list are left out.
        """
        members: list[tuple[Descriptor, Platform]] = []
        for descriptor in self._walk_descriptors():
            platform = None if self._is_index_descriptor(descriptor) else self._find_platform(descriptor)
            if platform is not None and _UNKNOWN not in (platform.os, platform.architecture):
                members.append((descriptor, platform))
        return tuple(members)

    def _find_platform(self, descriptor: Descriptor) -> Platform | None:
        if descriptor.artifact_type:
            return None
        if descriptor.platform is not None:
            return descriptor.platform
        manifest = oci.read_manifest(self.document(descriptor))
        if manifest.artifact_type or manifest.config.media_type not in oci.CONFIGS:
            return None
        data = self.document(manifest.config)
        if not oci.is_image_config(data):
            return None
        config = oci.read_config(data)
        return oci.Platform(config.architecture, config.os, config.variant)

    def platforms(self) -> tuple[Platform, ...]:
        """Return the platforms that the image is for, in the index's order."""
        return tuple(platform for _, platform in self.members())

    def select(self, platform: Platform | None = None) -> Image:
        """Return the image of one platform; None takes the only one.

        Raises ImageError if the image does not have it, or has several and ``platform`` is None.
        """
        members = self.members()
        if not members:
            raise ImageError("this is an artifact, not a container image")
        names = ", ".join(platforms.format_platform(member_platform) for _, member_platform in members)
        if platform is None:
            if len(members) > 1:
                raise ImageError(
                    f"the image is for {len(members)} platforms, and the command needs one",
                    hint=f"choose one with --platform: {names}",
                )
            return self.at(members[0][0])
        position = platforms.choose_platform([member_platform for _, member_platform in members], platform)
        if position is None:
            raise ImageError(
                f"the image is not for {platforms.format_platform(platform)}", hint=f"it is for {names}"
            )
        return self.at(members[position][0])

    def manifest(self, platform: Platform | None = None) -> Manifest:
        """Return the manifest of one platform (see `select`)."""
        image = self.select(platform)
        return oci.read_manifest(image.document(image.root))

    def config(self, platform: Platform | None = None) -> ImageConfig:
        """Return the config of one platform (see `select`)."""
        return oci.read_config(self.document(self.manifest(platform).config))

    def layers(self, platform: Platform | None = None) -> tuple[Layer, ...]:
        """Return the layers of one platform, base first.

        Raises FormatError if the config and the manifest have different numbers of layers.
        """
        from pumice.image.layer import Layer  # a warm build opens none

        manifest = self.manifest(platform)
        diff_ids = oci.read_config(self.document(manifest.config)).rootfs.diff_ids
        if len(diff_ids) != len(manifest.layers):
            raise FormatError(
                f"the manifest has {format_count(len(manifest.layers), 'layer')}, "
                f"but the config {format_count(len(diff_ids), 'diff ID')}"
            )
        return tuple(
            Layer(descriptor, digest.check(diff_id), self.blobs)
            for descriptor, diff_id in zip(manifest.layers, diff_ids, strict=True)
        )

    def inside(self, archive: Archive) -> Image:
        """Return the same image as the content of ``archive``."""
        image = Image(
            self.root, self.blobs, self._find_referrers, self.listed_referrers, archive, self.registry_name
        )
        image._documents = self._documents
        return image

    def at(self, descriptor: Descriptor) -> Image:
        """Return the image of ``descriptor``, a manifest or index that the root refers to."""
        if descriptor.digest == self.root.digest:
            return self
        image = Image(
            descriptor,
            self.blobs,
            self._find_referrers,
            self.listed_referrers,
            registry_name=self.registry_name,
        )
        image._documents = self._documents  # checked already, and shared because it only grows
        return image


class _Documents:
    """The documents of an image that were read and checked, within a limit on their total size."""

    def __init__(self) -> None:
        self._known: dict[Digest, bytes] = {}
        self._left = _MAX_TOTAL

    def get(self, descriptor: Descriptor, blobs: BlobSource) -> bytes:
        data = self._known.get(descriptor.digest)
        if data is None:
            if 0 <= descriptor.size <= oci.MAX_DOCUMENT and descriptor.size > self._left:
                raise FormatError(
                    f"the image's manifests and configs are larger than {_MAX_TOTAL >> 20} MiB together"
                )
            data = read_blob(descriptor, blobs)
            self._known[descriptor.digest] = data
            self._left -= len(data)
        return data


def blobs_of(descriptor: Descriptor, data: bytes) -> tuple[Descriptor, ...]:
    """Return the descriptors in a manifest or index that are not documents: configs, layers, other blobs."""
    if oci.is_index(data, descriptor.media_type):
        return tuple(child for child in oci.read_index(data).manifests if not oci.is_document(child))
    manifest = oci.read_manifest(data)
    return (manifest.config, *manifest.layers)


def list_blobs(image: Image) -> tuple[Descriptor, ...]:
    """Return the descriptors of everything that the image consists of, each digest once.

    Manifests and indexes come first, the root before all others; then configs and layers, also layers that
    must not be distributed (``urls``, deprecated).
    """
    documents: dict[Digest, Descriptor] = {}
    blobs: dict[Digest, Descriptor] = {}
    for descriptor, data in image.walk():
        documents[descriptor.digest] = descriptor
        for child in blobs_of(descriptor, data):
            blobs.setdefault(child.digest, child)
    return (*documents.values(), *(blobs[key] for key in blobs if key not in documents))


def read_blob(descriptor: Descriptor, blobs: BlobSource, limit: int = oci.MAX_DOCUMENT) -> bytes:
    """Return the content of a small blob.

    Raises FormatError for more than ``limit`` bytes, and TrustError for content with another digest.
    """
    name = digest.check(descriptor.digest)
    if descriptor.size > limit:
        raise FormatError(f"a document of the image is larger than {limit >> 20} MiB", where=name)
    with blobs.open(name) as file:
        data = file.read(descriptor.size + 1)
    if len(data) != descriptor.size or digest.of(data) != name:
        raise wrong_content(name)
    return data


def wrong_content(name: Digest, hint: str | None = None) -> TrustError:
    """Return the error for a blob whose content does not have the digest ``name``."""
    return TrustError("the content of a blob does not match its digest", where=name, hint=hint)
