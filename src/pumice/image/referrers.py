"""Referrers of an image: finding, reading and writing evidence and signatures.

A referrer is a manifest with a ``subject`` (image-spec 1.1, manifest.md). The store and registries find
referrers by digest; a layout cannot, so the descriptor of its image has an annotation with the digest of
an index of them.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.errors import FormatError, PumiceError
from pumice.formats import oci
from pumice.image.model import Image, list_blobs, read_blob
from pumice.store.blobs import write_blob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import BlobSource
    from pumice.store.blobs import Blobs

_LEGACY = re.compile(r"sha256-[0-9a-f]{64}(\.[a-z]+)?", re.ASCII)
_MAX_ARTIFACTS = 4096
_MAX_DEPTH = 4


class ReferrerSet(msgspec.Struct, frozen=True):
    """All referrers of an image, and the descriptors of all blobs that they consist of."""

    artifacts: tuple[Descriptor, ...]
    blobs: tuple[Descriptor, ...]

    def index(self) -> bytes:
        """Return an index of the artifacts."""
        return oci.encode_document(oci.make_index(self.artifacts))


def gather_referrers(image: Image) -> ReferrerSet:
    """Return the referrers of an image's root and manifests, and their referrers in turn (a signed SBOM).

    Raises FormatError if they are nested too deep or too many.
    """
    artifacts: dict[Digest, Descriptor] = {}
    blobs: dict[Digest, Descriptor] = {}
    pending = [(descriptor.digest, 0) for descriptor, _ in image.walk()]
    while pending:
        subject, depth = pending.pop()
        for referrer in image.referrers(subject):
            if referrer.digest in artifacts:
                continue
            artifacts[referrer.digest] = referrer
            if depth > _MAX_DEPTH or len(artifacts) > _MAX_ARTIFACTS:
                raise FormatError("the referrers of the image are nested too deeply, or there are too many")
            pending.append((referrer.digest, depth + 1))
            blobs[referrer.digest] = oci.Descriptor(referrer.media_type, referrer.digest, referrer.size)
            data = image.document(referrer)
            if oci.is_index(data, referrer.media_type):
                artifact = image.at(referrer)
                for blob in list_blobs(artifact):
                    blobs.setdefault(blob.digest, blob)
                pending += [(document.digest, depth + 1) for document, _ in artifact.walk()]
            else:
                manifest = oci.read_manifest(data)
                for blob in (manifest.config, *manifest.layers):
                    blobs.setdefault(blob.digest, blob)
    sorted_artifacts = tuple(artifacts[key] for key in sorted(artifacts))
    return ReferrerSet(sorted_artifacts, tuple(blobs[key] for key in sorted(blobs)))


def put_artifact(
    subject: Descriptor, data: bytes, media_type: str, blobs: Blobs, *, annotations: dict[str, str]
) -> Descriptor:
    """Write ``data`` as an artifact that refers to ``subject``, and return the artifact's descriptor."""
    layer = oci.Descriptor(media_type, write_blob(data, blobs), len(data))
    write_blob(b"{}", blobs)
    document = oci.encode_document(oci.make_artifact(subject, media_type, layer, annotations=annotations))
    return oci.Descriptor(
        oci.MANIFEST, write_blob(document, blobs), len(document), annotations, artifact_type=media_type
    )


def read_artifact_blob(image: Image, artifact: Descriptor, limit: int) -> bytes:
    """Return the only blob of an artifact; raises FormatError if it has not one of up to ``limit`` bytes."""
    manifest = oci.read_manifest(image.document(artifact))
    if len(manifest.layers) != 1:
        raise FormatError(
            f"the artifact has {len(manifest.layers)} blobs instead of one", where=artifact.digest
        )
    layer = manifest.layers[0]
    return read_blob(layer, image.blobs, limit)


class OverlaidBlobs:
    """Documents in memory, in addition to the blobs of another source."""

    def __init__(self, data: Sequence[bytes], base: BlobSource) -> None:
        self._data = {digest.of(document): document for document in data}
        self._base = base

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob."""
        data = self._data.get(digest_)
        return io.BytesIO(data) if data is not None else self._base.open(digest_)


class LayoutReferrers:
    """The referrers in a layout by their subject; the layout is read on first use."""

    def __init__(self, root: Descriptor, listed_referrers: Sequence[Descriptor], blobs: BlobSource) -> None:
        """``listed_referrers`` are what ``index.json`` lists next to the image."""
        self._root = root
        self._listed_referrers = listed_referrers
        self._blobs = blobs
        self._by_subject: dict[Digest, list[Descriptor]] | None = None

    def __call__(self, subject: Digest) -> Sequence[Descriptor]:
        """Return the referrers of ``subject``; raises FormatError or TrustError for a damaged list."""
        if self._by_subject is None:
            self._by_subject = self._read()
        return self._by_subject.get(subject, ())

    def _read(self) -> dict[Digest, list[Descriptor]]:
        by_subject: dict[Digest, list[Descriptor]] = {}
        image = Image(self._root, self._blobs)
        descriptors = [*self._read_index(), *self._listed_referrers]
        descriptors += [
            listed_descriptor
            for descriptor in descriptors
            for listed_descriptor in self._read_fallback_list(descriptor, image)
        ]
        if len(descriptors) > _MAX_ARTIFACTS:
            raise FormatError(f"the layout lists more than {_MAX_ARTIFACTS} referrers of its image")
        for descriptor in {listed.digest: listed for listed in reversed(descriptors)}.values():
            referrer = describe_artifact(descriptor, image.document(descriptor))
            subject = subject_of(descriptor, image.document(descriptor))
            if subject:
                by_subject.setdefault(subject, []).append(referrer)
        return {
            subject: sorted(referrers, key=lambda referrer: referrer.digest)
            for subject, referrers in by_subject.items()
        }

    @staticmethod
    def _read_fallback_list(descriptor: Descriptor, image: Image) -> Sequence[Descriptor]:
        """Return the descriptors in a list of referrers that was copied from a registry's fallback tag."""
        name = descriptor.annotations.get(oci.REF_NAME, "")
        data = image.document(descriptor)
        if "." in name or not _LEGACY.fullmatch(name) or not oci.is_index(data, descriptor.media_type):
            return ()
        return oci.read_index(data).manifests

    def _read_index(self) -> Sequence[Descriptor]:
        name = self._root.annotations.get(oci.REFERRERS, "")
        if not name:
            return ()
        digest.check(name)
        with self._blobs.open(name) as file:
            data = file.read(oci.MAX_DOCUMENT + 1)
        if digest.of(data) != name:
            raise FormatError("the layout's list of referrers is damaged", where=name)
        return oci.read_index(data).manifests


def describe_artifact(descriptor: Descriptor, data: bytes) -> Descriptor:
    """Return the descriptor of an artifact with the artifact type and annotations of its manifest."""
    manifest = oci.read_index(data) if oci.is_index(data, descriptor.media_type) else oci.read_manifest(data)
    return msgspec.structs.replace(
        descriptor,
        annotations=manifest.annotations | descriptor.annotations,
        artifact_type=manifest.artifact_type or descriptor.artifact_type,
    )


def subject_of(descriptor: Descriptor, data: bytes) -> Digest:
    """Return the subject of a listed artifact, "" if it names none.

    Older signatures of cosign have no ``subject``, but a tag that contains the digest.
    """
    document = oci.read_index(data) if oci.is_index(data, descriptor.media_type) else oci.read_manifest(data)
    if document.subject is not None:
        return document.subject.digest
    name = descriptor.annotations.get(oci.REF_NAME, "")
    if "." in name and _LEGACY.fullmatch(name):
        return name.partition(".")[0].replace("-", ":", 1)
    return descriptor.annotations.get(oci.SUBJECT, "")


def tag_of(descriptor: Descriptor, subject: Digest) -> str:
    """Return the tag of cosign for a referrer of ``subject``, "" if it needs none."""
    name = descriptor.annotations.get(oci.REF_NAME, "")
    return name if name.startswith(subject.replace(":", "-") + ".") and _LEGACY.fullmatch(name) else ""


def split_index(index: oci.Index) -> tuple[tuple[Descriptor, ...], tuple[Descriptor, ...]]:
    """Return the images that a layout's index lists, and the referrers that it lists."""
    attachments = tuple(descriptor for descriptor in index.manifests if is_attachment(descriptor))
    images = tuple(descriptor for descriptor in index.manifests if descriptor not in attachments)
    return (images, attachments) if images else (attachments, ())


def is_attachment(descriptor: Descriptor) -> bool:
    """Return whether a descriptor in a layout is not an image but a referrer of one, such as a signature."""
    kind = descriptor.annotations.get("kind", "")
    name = descriptor.annotations.get(oci.REF_NAME, "")
    return (
        kind in ("dev.cosignproject.cosign/sigs", "dev.cosignproject.cosign/atts")
        or _LEGACY.fullmatch(name) is not None
        or (descriptor.artifact_type != "" and descriptor.artifact_type not in oci.CONFIGS and not name)
    )


def read_named_index(root: Descriptor, blobs: BlobSource) -> tuple[Descriptor, ...]:
    """Return the descriptors in the index of referrers that ``root`` names.

    Returns none if that index is missing or damaged, because the image is complete without it.
    """
    name = root.annotations.get(oci.REFERRERS, "")
    try:
        with blobs.open(digest.check(name)) as file:
            data = file.read(oci.MAX_DOCUMENT + 1)
        return oci.read_index(data).manifests if digest.of(data) == name else ()
    except PumiceError:
        return ()
