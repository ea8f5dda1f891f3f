"""The sources of a copy that are not registries: images in the store, layouts and archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.formats import oci
from pumice.image import graph, referrers
from pumice.image.model import Image
from pumice.registry import listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor
    from pumice.image.graph import CosignTags, Node
    from pumice.registry.listing import Referrer

_KIND = "kind"
_COSIGN_SUFFIXES = {"dev.cosignproject.cosign/sigs": "sig", "dev.cosignproject.cosign/atts": "att"}
"""Suffixes of cosign's tags by the annotation of ``cosign save``."""


class LocalSource:
    """An image in the store, a layout or an archive."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._unlinked: dict[str, list[Descriptor]] | None = None

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index; raises TrustError."""
        return self._image.document(descriptor)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob."""
        return self._image.blobs.open(descriptor.digest)

    def referrers(self, digest: str) -> Sequence[Referrer]:
        """Return the referrers of a manifest, without those that only have a tag of cosign."""
        links: list[Referrer] = []
        for descriptor in self._list_referrers(digest):
            node = graph.parse_node(descriptor, self.document(descriptor))
            if node.subject == digest or not referrers.tag_of(descriptor, digest):
                links.append(_make_referrer(node, descriptor, digest))
        return links

    def cosign_tags(self, digests: Sequence[str]) -> CosignTags:
        """Return the signatures and attestations that have a tag of cosign."""
        tags: dict[str, list[Descriptor]] = {}
        for digest in digests:
            for descriptor in self._list_referrers(digest):
                if tag := referrers.tag_of(descriptor, digest):
                    tags.setdefault(tag, []).append(oci.bare_descriptor(descriptor))
        return {tag: tuple(descriptors) for tag, descriptors in tags.items()}

    def _list_referrers(self, digest: str) -> Sequence[Descriptor]:
        if self._unlinked is None:
            self._unlinked = self._read_unlinked()
        linked = {descriptor.digest: descriptor for descriptor in self._image.referrers(digest)}
        unlinked = self._unlinked.get(digest, ())
        return [*linked.values(), *(descriptor for descriptor in unlinked if descriptor.digest not in linked)]

    def _read_unlinked(self) -> dict[str, list[Descriptor]]:
        """Return the referrers that a layout lists next to the image, by their subjects."""
        by_subject: dict[str, list[Descriptor]] = {}
        stem = self._image.root.digest.replace(":", "-")
        for listed_descriptor in self._image.listed_referrers:
            suffix = _COSIGN_SUFFIXES.get(listed_descriptor.annotations.get(_KIND, ""), "")
            descriptor = listed_descriptor
            if suffix:
                annotations = {**listed_descriptor.annotations, oci.REF_NAME: f"{stem}.{suffix}"}
                del annotations[_KIND]
                descriptor = msgspec.structs.replace(listed_descriptor, annotations=annotations)
            if subject := referrers.subject_of(descriptor, self._image.document(listed_descriptor)):
                by_subject.setdefault(subject, []).append(descriptor)
        return by_subject


def _make_referrer(node: Node, descriptor: Descriptor, subject: str) -> Referrer:
    """Return a referrer as registries list it, with the annotations of its manifest and its descriptor."""
    entry = node.entry()
    local_names = {_KIND, oci.SUBJECT} | ({oci.REF_NAME} if referrers.tag_of(descriptor, subject) else set())
    annotations = {name: value for name, value in descriptor.annotations.items() if name not in local_names}
    annotations |= entry.get("annotations") or {}
    if annotations:
        entry["annotations"] = annotations
    return listing.Referrer(msgspec.convert(entry, oci.Descriptor), msgspec.json.encode(entry))
