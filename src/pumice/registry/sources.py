"""Places that an image and what belongs to it are read from: registries, and what lies on a disk."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from pumice.formats import oci
from pumice.image.model import Image
from pumice.registry import content, graph, listing
from pumice.registry.parallel import mapped
from pumice.registry.reference import Repository, fallback_tag
from pumice.registry.refusal import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.formats.oci import Descriptor
    from pumice.image.model import BlobSource
    from pumice.registry.client import Client
    from pumice.registry.graph import Graph
    from pumice.registry.listing import Link

_SUFFIXES = ("sig", "att", "sbom")
_TAGS = 1000
"""A repository with more tags is asked for those that matter one by one."""


class RegistrySource:
    """A repository."""

    def __init__(self, client: Client, repository: Repository) -> None:
        self.repository = repository
        self._client = client
        self._tags: frozenset[str] | None = None
        self._listed = False

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index; raises NotFoundError, TrustError."""
        return self._client.manifest(self.repository.at(descriptor.digest)).data

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob, which is checked while it is read."""
        return self._client.open_blob(self.repository, descriptor.digest, descriptor.size)

    def referrers(self, digest: str) -> Sequence[Link]:
        """Return what refers to a manifest."""
        return self._client.referrers(self.repository, digest)

    def companions(self, digests: Sequence[str]) -> dict[str, Descriptor]:
        """Return signatures and the like that are found by their tag."""
        tags = self._known_tags()
        if tags is None:
            stems = [digest.replace(":", "-") for digest in digests]
            wanted = [f"{stem}.{suffix}" for stem in stems for suffix in _SUFFIXES]
        else:
            wanted = sorted(tag for tag in tags if graph.suffix(tag, digests))
        found = mapped(lambda tag: self._client.find(self.repository.tagged(tag)), wanted)
        return {tag: one for tag, one in zip(wanted, found, strict=True) if one is not None}

    def _known_tags(self) -> frozenset[str] | None:
        """Every tag of the repository, if it is one with a list that is not endless."""
        if not self._listed:
            self._listed = True
            try:
                tags, complete = self._client.some_tags(self.repository, _TAGS)
            except RegistryError:
                return None
            self._tags = frozenset(tags) if complete else None
        return self._tags


class LocalSource:
    """Blobs at hand, and the names that some of them have beside the image's own."""

    def __init__(
        self, blobs: BlobSource, tags: Mapping[str, Descriptor], loose: Sequence[Descriptor] = ()
    ) -> None:
        """``loose`` are manifests without a name, which may be referrers."""
        self._blobs = blobs
        self._tags = tags
        self._loose = loose
        self._subjects: dict[str, list[graph.Node]] | None = None

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index; raises TrustError."""
        return Image(descriptor, self._blobs).document(descriptor)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob."""
        return self._blobs.open(descriptor.digest)

    def referrers(self, digest: str) -> Sequence[Link]:
        """Return what the fallback list of a manifest has, and what says so itself."""
        named = self._tags.get(fallback_tag(digest))
        found = listing.links(self.document(named), digest) if named else []
        known = {link.digest for link in found}
        for node in self._by_subject().get(digest, []):
            if node.descriptor.digest not in known:
                found.append(link_of(node))
        return found

    def companions(self, digests: Sequence[str]) -> dict[str, Descriptor]:
        """Return signatures and the like that have a name."""
        return {tag: one for tag, one in self._tags.items() if graph.suffix(tag, digests)}

    def _by_subject(self) -> dict[str, list[graph.Node]]:
        if self._subjects is None:
            found: dict[str, list[graph.Node]] = {}
            for descriptor in self._loose:
                node = graph.read(descriptor, self.document(descriptor))
                if node.subject:
                    found.setdefault(node.subject, []).append(node)
            self._subjects = found
        return self._subjects


def link_of(node: graph.Node) -> Link:
    """Return how a list of referrers has a manifest."""
    import msgspec

    entry = node.entry()
    return listing.Link(msgspec.convert(entry, oci.Descriptor), msgspec.json.encode(entry))


class GraphBlobs:
    """A graph and its source as what `pumice.image` reads blobs from."""

    def __init__(self, gathered: Graph, source: graph.Source) -> None:
        self._source = source
        self._blobs = gathered.blobs()
        self._documents = {digest: node.data for digest, node in gathered.nodes.items()}

    def add(self, data: bytes) -> None:
        """Have one more document."""
        self._documents[content.digest_of(data)] = data

    def open(self, digest: str) -> BinaryIO:
        """Open a document or blob."""
        if digest in self._documents:
            return io.BytesIO(self._documents[digest])
        return self._source.open(self._blobs[digest])


class RegistryBlobs:
    """A repository as what `pumice.image` reads blobs from, a document at a time."""

    def __init__(self, client: Client, repository: Repository, root: Descriptor) -> None:
        self._client = client
        self._repository = repository
        self._documents = {root.digest}
        self._sizes: dict[str, int] = {}

    def open(self, digest: str) -> BinaryIO:
        """Open a manifest, index or blob; raises NotFoundError."""
        if digest not in self._documents:
            return self._client.open_blob(self._repository, digest, self._sizes.get(digest))
        found = self._client.manifest(self._repository.at(digest))
        node = graph.read(found.descriptor, found.data)
        self._documents.update(child.digest for child in node.children)
        self._sizes |= {blob.digest: blob.size for blob in node.blobs}
        return io.BytesIO(found.data)
