"""All documents of an image: its manifests, and their signatures, SBOMs and attestations.

These are *referrers* (manifests with a ``subject``, listed by the registry or under the fallback tag) and
the manifests under cosign's tags (``sha256-<hex>.sig``, ``.att``, ``.sbom``). Both can have referrers and
tags themselves; all are followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.image import referrers
from pumice.registry.listing import Referrer
from pumice.registry.parallel import map_parallel
from pumice.registry.reference import is_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pumice.formats.oci import Descriptor

_MAX_DOCUMENTS = 20_000
_MAX_BYTES = 256 << 20
_MAX_DEPTH = 16
_BLOBS = ("config", "layers", "blobs")
_NOT_FOR_COPIES = "nondistributable"


CosignTags = dict[str, tuple[oci.Descriptor, ...]]
"""Tags like ``sha256-<hex>.sig`` with their manifests; outside of registries a tag can have several."""


class Source(Protocol):
    """The source that an image is read from."""

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index, checked against its digest."""

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob. The reader checks its digest."""

    def referrers(self, digest: str) -> Sequence[Referrer]:
        """Return the referrers of a manifest."""

    def cosign_tags(self, digests: Sequence[str]) -> CosignTags:
        """Return the tags that name one of these digests (see `tagged_digest`), with their manifests."""


@runtime_checkable
class FileSource(Source, Protocol):
    """A source that downloads some blobs to files, which the store can have without a copy."""

    def download(self, descriptor: Descriptor) -> Path | None:
        """Return the file of a blob, whose digest was checked; None if it must be opened instead."""


class Node(msgspec.Struct, frozen=True):
    """A manifest or index: its bytes, and the descriptors in it."""

    descriptor: oci.Descriptor
    data: bytes
    children: tuple[oci.Descriptor, ...] = ()
    blobs: tuple[oci.Descriptor, ...] = ()
    subject: str = ""

    def entry(self) -> dict[str, Any]:
        """Return its entry in a list of referrers, with the artifact type and annotations."""
        document = msgspec.json.decode(self.data)
        config = document.get("config")
        kind = document.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)
        entry = {
            "mediaType": self.descriptor.media_type,
            "digest": self.descriptor.digest,
            "size": len(self.data),
        }
        optional = {"artifactType": kind, "annotations": document.get("annotations")}
        return entry | {name: value for name, value in optional.items() if value}


class Graph(msgspec.Struct, frozen=True):
    """An image with all its referrers.

    ``nodes`` are in the order in which they can be stored: children before parents. ``referrers`` are by
    subject, ``tags`` are those of cosign; both are empty for the image alone.
    """

    root: oci.Descriptor
    nodes: dict[str, Node]
    referrers: dict[str, tuple[Referrer, ...]] = {}
    tags: CosignTags = {}

    def blobs(self) -> dict[str, oci.Descriptor]:
        """Return every blob by digest, each once."""
        blobs: dict[str, oci.Descriptor] = {}
        for node in self.nodes.values():
            for blob in node.blobs:
                blobs.setdefault(blob.digest, blob)
        return blobs

    def referrers_by_subject(self) -> dict[str, tuple[oci.Descriptor, ...]]:
        """Return the referrers of each manifest as the store and layouts list them, tags in annotations.

        Raises FormatError if one manifest has two tags.
        """
        by_subject: dict[str, dict[str, Descriptor]] = {}
        for subject, links in self.referrers.items():
            for link in links:
                has_subject = self.nodes[link.digest].subject == subject
                annotations = {} if has_subject else {oci.SUBJECT: subject}
                by_subject.setdefault(subject, {})[link.digest] = _with_annotations(
                    link.descriptor, annotations
                )
        for tag, tagged in self.tags.items():
            subject = tagged_digest(tag, self.nodes)
            for descriptor in tagged:
                entry = msgspec.convert(self.nodes[descriptor.digest].entry(), oci.Descriptor)
                listed_descriptor = by_subject.setdefault(subject, {}).get(descriptor.digest, entry)
                if referrers.tag_of(listed_descriptor, subject):
                    raise FormatError(f"a manifest has two names, and one is {tag}", where=descriptor.digest)
                by_subject[subject][descriptor.digest] = _with_annotations(
                    listed_descriptor, {oci.REF_NAME: tag}
                )
        return {
            subject: tuple(descriptors[digest] for digest in sorted(descriptors))
            for subject, descriptors in by_subject.items()
        }

    def list_referrers(self) -> tuple[Node, ...]:
        """Return the manifests that are not part of the image itself."""
        own_digests: set[str] = set()
        pending = [self.root.digest]
        while pending:
            digest = pending.pop()
            if digest not in own_digests:
                own_digests.add(digest)
                pending += [child.digest for child in self.nodes[digest].children]
        return tuple(node for digest, node in self.nodes.items() if digest not in own_digests)


def gather_graph(source: Source, root: Descriptor, *, with_referrers: bool = True) -> Graph:
    """Read all documents of the image ``root``, and its referrers if ``with_referrers`` is true.

    Raises PumiceError, also if a listed document is missing: nothing is left out.
    """
    nodes_by_digest: dict[str, Node] = {}
    referrers_of: dict[str, tuple[Referrer, ...]] = {}
    tags: CosignTags = {}
    pending = [root]
    depth = 0
    while pending:
        level = list(
            {
                descriptor.digest: descriptor
                for descriptor in pending
                if descriptor.digest not in nodes_by_digest
            }.values()
        )
        nodes = map_parallel(lambda descriptor: _read_document(source, descriptor), level)
        nodes_by_digest |= {node.descriptor.digest: node for node in nodes}
        depth += 1
        _check_limits(nodes_by_digest, depth)
        pending = [child for node in nodes for child in node.children]
        if with_referrers and nodes:
            digests = [node.descriptor.digest for node in nodes]
            for digest, links in zip(digests, map_parallel(source.referrers, digests), strict=True):
                if links:
                    referrers_of[digest] = tuple(links)
                    pending += [link.descriptor for link in links]
            level_tags = source.cosign_tags(digests)
            tags |= level_tags
            pending += [descriptor for descriptors in level_tags.values() for descriptor in descriptors]
    return Graph(root, _sort_nodes(nodes_by_digest, root), referrers_of, dict(sorted(tags.items())))


def _with_annotations(descriptor: Descriptor, annotations: dict[str, str]) -> Descriptor:
    return msgspec.structs.replace(descriptor, annotations=descriptor.annotations | annotations)


def _check_limits(nodes: dict[str, Node], depth: int) -> None:
    size = sum(len(node.data) for node in nodes.values())
    if len(nodes) > _MAX_DOCUMENTS or size > _MAX_BYTES or depth > _MAX_DEPTH:
        raise FormatError("the referrers of the image are nested too deep, or too many")


def _sort_nodes(nodes: dict[str, Node], root: Descriptor) -> dict[str, Node]:
    """Return the nodes with children before parents and subjects before referrers, the image itself first."""
    sorted_nodes: dict[str, Node] = {}
    for root_digest in (root.digest, *nodes):
        pending = [(root_digest, False)]
        while pending:
            digest, children_are_done = pending.pop()
            if digest in sorted_nodes:
                continue
            if children_are_done:
                sorted_nodes[digest] = nodes[digest]
            else:
                pending.append((digest, True))
                pending += [(child.digest, False) for child in reversed(nodes[digest].children)]
    return sorted_nodes


def _read_document(source: Source, descriptor: Descriptor) -> Node:
    if descriptor.size > oci.MAX_DOCUMENT:
        raise FormatError("the image has a manifest larger than 4 MiB", where=descriptor.digest)
    return parse_node(descriptor, source.document(descriptor))


def parse_node(descriptor: Descriptor, data: bytes) -> Node:
    """Parse the descriptors of a manifest or index; raises FormatError."""
    try:
        document: Any = msgspec.json.decode(data)
        _check_schema(document, descriptor.digest)
        manifests = list(_read_descriptors(document.get("manifests")))
        blobs = [child for name in _BLOBS for child in _read_descriptors(document.get(name))]
        subject = next(_read_descriptors(document.get("subject")), None)
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError):
        raise FormatError("a manifest of the image is malformed", where=descriptor.digest) from None
    children = [child for child in manifests if oci.is_document(child)]
    blobs += [child for child in manifests if not oci.is_document(child)]
    stated_type = document.get("mediaType")
    media_type = stated_type if isinstance(stated_type, str) and stated_type else descriptor.media_type
    node_descriptor = msgspec.structs.replace(descriptor, media_type=media_type, size=len(data))
    return Node(node_descriptor, data, tuple(children), tuple(blobs), subject.digest if subject else "")


def _check_schema(document: object, where: str) -> None:
    if not isinstance(document, dict):
        raise FormatError("a manifest of the image is not a JSON object", where=where)
    if document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise FormatError("the manifest is in Docker's version 1 form", where=where)


def _read_descriptors(value: object) -> Iterator[Descriptor]:
    for element in value if isinstance(value, list) else [] if value is None else [value]:
        descriptor = msgspec.convert(oci.remove_nulls(element), oci.Descriptor)
        if not is_digest(descriptor.digest):
            raise FormatError(
                f"{descriptor.digest[:150]!r} is not a supported digest, so the image cannot be copied"
            )
        yield descriptor


def may_be_absent(descriptor: Descriptor) -> bool:
    """Return whether a blob may be missing: a layer that must not be distributed (descriptor.md, urls)."""
    return bool(descriptor.urls) and (
        _NOT_FOR_COPIES in descriptor.media_type or ".foreign." in descriptor.media_type
    )


def tagged_digest(tag: str, digests: Iterable[str]) -> str:
    """Return the one of ``digests`` that a tag like ``sha256-<hex>.sig`` names, or ""."""
    stem, dot, _ = tag.partition(".")
    return next((digest for digest in digests if dot and digest.replace(":", "-") == stem), "")
