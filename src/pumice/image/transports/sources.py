"""Places that an image and what belongs to it are read from: registries, and what lies on a disk."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.image import graph, referrers
from pumice.image.model import Image
from pumice.registry import listing
from pumice.registry.errors import NotFoundError, RegistryError
from pumice.registry.parallel import map_parallel
from pumice.registry.reference import Repository, fallback_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor
    from pumice.image.graph import Companions, Graph
    from pumice.registry.client import Client
    from pumice.registry.listing import Referrer

_SUFFIXES = ("sig", "att", "sbom")
_KINDS = {"dev.cosignproject.cosign/sigs": "sig", "dev.cosignproject.cosign/atts": "att"}
"""How cosign's ``save`` marks what a registry has under a tag."""
_TAGS = 1000
"""A repository with more tags is asked for those that matter one by one."""


class RegistrySource:
    """A repository."""

    def __init__(self, client: Client, repository: Repository) -> None:
        self.repository = repository
        self._client = client
        self._tags: frozenset[str] | None = None
        self._listed = False
        self._guard = threading.Lock()

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index; raises NotFoundError, TrustError."""
        return self._client.get_manifest(self.repository.with_digest(descriptor.digest)).data

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob. Whoever reads it checks it: once is enough."""
        return self._client.open_blob(self.repository, descriptor.digest, descriptor.size, verify=False)

    def referrers(self, digest: str) -> Sequence[Referrer]:
        """Return what refers to a manifest."""
        found = self._client.list_referrers(self.repository, digest)
        if not found and fallback_tag(digest) in (self._known_tags() or ()):
            # Some registries answer every request that they do not know with an empty list.
            found = self._client.list_fallback_referrers(self.repository, digest)
        return found

    def companions(self, digests: Sequence[str]) -> Companions:
        """Return signatures and the like that are found by their tag."""
        tags = self._known_tags()
        if tags is None:
            stems = [digest.replace(":", "-") for digest in digests]
            wanted = [f"{stem}.{suffix}" for stem in stems for suffix in _SUFFIXES]
        else:
            wanted = sorted(tag for tag in tags if graph.suffix(tag, digests))
        found = map_parallel(self._resolved, wanted)
        return {tag: (one,) for tag, one in zip(wanted, found, strict=True) if one is not None}

    def _resolved(self, tag: str) -> Descriptor | None:
        """Return what a tag stands for. That a HEAD finds nothing is no proof that nothing is there."""
        try:
            return self._client.resolve(self.repository.with_tag(tag))
        except NotFoundError:
            return None

    def _known_tags(self) -> frozenset[str] | None:
        """Every tag of the repository, if it is one with a list that is not endless."""
        with self._guard:
            if not self._listed:
                self._listed = True
                try:
                    tags, complete = self._client.list_first_tags(self.repository, _TAGS)
                except (RegistryError, FormatError):
                    return None
                self._tags = frozenset(tags) if complete else None
        return self._tags


class LocalSource:
    """An image at hand: in the store, a layout or an archive."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._beside: dict[str, list[Descriptor]] | None = None

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index; raises TrustError."""
        return self._image.document(descriptor)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob."""
        return self._image.blobs.open(descriptor.digest)

    def referrers(self, digest: str) -> Sequence[Referrer]:
        """Return what refers to a manifest, without what is only known by its tag."""
        found: list[Referrer] = []
        for one in self._about(digest):
            node = graph.read(one, self.document(one))
            if node.subject == digest or not referrers.tag_of(one, digest):
                found.append(_link(node, one, digest))
        return found

    def companions(self, digests: Sequence[str]) -> Companions:
        """Return signatures and the like that registries have under a tag of their own."""
        found: dict[str, list[Descriptor]] = {}
        for digest in digests:
            for one in self._about(digest):
                if tag := referrers.tag_of(one, digest):
                    found.setdefault(tag, []).append(plain(one))
        return {tag: tuple(some) for tag, some in found.items()}

    def _about(self, digest: str) -> Sequence[Descriptor]:
        if self._beside is None:
            self._beside = self._lying_beside()
        known = {one.digest: one for one in self._image.referrers(digest)}
        return [*known.values(), *(one for one in self._beside.get(digest, ()) if one.digest not in known)]

    def _lying_beside(self) -> dict[str, list[Descriptor]]:
        """What a layout lists without saying that it is about the image, by what it is about."""
        found: dict[str, list[Descriptor]] = {}
        stem = self._image.root.digest.replace(":", "-")
        for one in self._image.beside:
            suffix = _KINDS.get(one.annotations.get("kind", ""), "")
            known = one
            if suffix:
                named = {**one.annotations, oci.REF_NAME: f"{stem}.{suffix}"}
                del named["kind"]
                known = msgspec.structs.replace(one, annotations=named)
            if about := referrers.subject_of(known, self._image.document(one)):
                found.setdefault(about, []).append(known)
        return found


def plain(descriptor: Descriptor) -> Descriptor:
    """Return a descriptor without what the place where it is listed adds to it."""
    return oci.Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)


def _link(node: graph.Node, listed: Descriptor, about: str) -> Referrer:
    """Return how a registry lists a manifest, with the annotations of both manifest and list."""
    entry = node.entry()
    local = {"kind", oci.SUBJECT} | ({oci.REF_NAME} if referrers.tag_of(listed, about) else set())
    more = {name: value for name, value in listed.annotations.items() if name not in local}
    annotations = more | (entry.get("annotations") or {})
    if annotations:
        entry["annotations"] = annotations
    return listing.Referrer(msgspec.convert(entry, oci.Descriptor), msgspec.json.encode(entry))


class GraphBlobs:
    """A graph and its source as what `pumice.image` reads blobs from."""

    def __init__(self, gathered: Graph, source: graph.Source) -> None:
        self._source = source
        self._blobs = gathered.blobs()
        self._documents = {digest: node.data for digest, node in gathered.nodes.items()}

    def open(self, digest: str) -> BinaryIO:
        """Open a document or blob."""
        if digest in self._documents:
            return io.BytesIO(self._documents[digest])
        return self._source.open(self._blobs[digest])


def image_of(gathered: Graph, source: graph.Source) -> Image:
    """Return a gathered image with all that belongs to it, as `pumice.image` has it."""
    attached = gathered.attached()
    root = gathered.nodes[gathered.root.digest].descriptor
    return Image(plain(root), GraphBlobs(gathered, source), lambda digest: attached.get(digest, ()))


class RegistryBlobs:
    """A repository as what `pumice.image` reads from, a document at a time: blobs, and what is about what."""

    def __init__(self, client: Client, repository: Repository, root: Descriptor) -> None:
        self.client = client
        self.repository = repository
        self._source = RegistrySource(client, repository)
        self._documents = {root.digest}
        self._sizes: dict[str, int] = {}
        self._about: dict[str, tuple[Descriptor, ...]] = {}

    def open(self, digest: str) -> BinaryIO:
        """Open a manifest, index or blob; raises NotFoundError."""
        if digest not in self._documents:
            return self.client.open_blob(self.repository, digest, self._sizes.get(digest))
        found = self.client.get_manifest(self.repository.with_digest(digest))
        node = graph.read(found.descriptor, found.data)
        self._documents.update(child.digest for child in node.children)
        self._sizes |= {blob.digest: blob.size for blob in node.blobs}
        return io.BytesIO(found.data)

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return what is about a manifest, as the store would list it."""
        if digest not in self._about:
            found = {link.digest: link.descriptor for link in self._source.referrers(digest)}
            for tag, some in self._source.companions([digest]).items():
                for one in some:
                    known = found.get(one.digest, one)
                    named = {**known.annotations, oci.REF_NAME: tag}
                    found[one.digest] = msgspec.structs.replace(known, annotations=named)
            self._documents.update(found)
            self._about[digest] = tuple(found.values())
        return self._about[digest]
