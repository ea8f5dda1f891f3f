"""A repository of a registry as the source of a copy, and as the blobs of an `Image`."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.image import graph
from pumice.registry.errors import NotFoundError, RegistryError
from pumice.registry.parallel import map_parallel
from pumice.registry.reference import Repository, fallback_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor
    from pumice.image.graph import CosignTags
    from pumice.registry.client import Client
    from pumice.registry.listing import Referrer

_COSIGN_SUFFIXES = ("sig", "att", "sbom")
_MAX_LISTED_TAGS = 1000
"""In a repository with more tags, each tag of cosign is looked up separately."""


class RegistrySource:
    """A repository."""

    def __init__(self, client: Client, repository: Repository) -> None:
        self.repository = repository
        self._client = client
        self._tags: frozenset[str] | None = None
        self._is_listed = False
        self._guard = threading.Lock()

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index; raises NotFoundError, TrustError."""
        return self._client.get_manifest(self.repository.with_digest(descriptor.digest)).data

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob. The reader checks its digest: once is enough."""
        return self._client.open_blob(self.repository, descriptor.digest, descriptor.size, verify=False)

    def referrers(self, digest: str) -> Sequence[Referrer]:
        """Return the referrers of a manifest."""
        links = self._client.list_referrers(self.repository, digest)
        if not links and fallback_tag(digest) in (self._list_tags() or ()):
            # Some registries respond to every unknown request with an empty list.
            links = self._client.list_fallback_referrers(self.repository, digest)
        return links

    def cosign_tags(self, digests: Sequence[str]) -> CosignTags:
        """Return the signatures and attestations that cosign finds by their tag."""
        all_tags = self._list_tags()
        if all_tags is None:
            stems = [digest.replace(":", "-") for digest in digests]
            tags = [f"{stem}.{suffix}" for stem in stems for suffix in _COSIGN_SUFFIXES]
        else:
            tags = sorted(tag for tag in all_tags if graph.tagged_digest(tag, digests))
        descriptors = map_parallel(self._resolve_tag, tags)
        pairs = zip(tags, descriptors, strict=True)
        return {tag: (descriptor,) for tag, descriptor in pairs if descriptor is not None}

    def _resolve_tag(self, tag: str) -> Descriptor | None:
        """Return the descriptor of a tag, None if there is none; a failed HEAD alone does not prove that."""
        try:
            return self._client.resolve(self.repository.with_tag(tag))
        except NotFoundError:
            return None

    def _list_tags(self) -> frozenset[str] | None:
        """Return every tag of the repository, None if there are too many or no list."""
        with self._guard:
            if not self._is_listed:
                self._is_listed = True
                try:
                    tags, is_complete = self._client.list_first_tags(self.repository, _MAX_LISTED_TAGS)
                except (RegistryError, FormatError):
                    return None
                self._tags = frozenset(tags) if is_complete else None
        return self._tags


class RegistryBlobs:
    """A repository as the blobs of an `Image`: documents and referrers are fetched as they are needed."""

    def __init__(self, client: Client, repository: Repository, root: Descriptor) -> None:
        self.client = client
        self.repository = repository
        self._source = RegistrySource(client, repository)
        self._documents = {root.digest}
        self._sizes: dict[str, int] = {}
        self._referrers: dict[str, tuple[Descriptor, ...]] = {}

    def open(self, digest: str) -> BinaryIO:
        """Open a manifest, index or blob; raises NotFoundError."""
        if digest not in self._documents:
            return self.client.open_blob(self.repository, digest, self._sizes.get(digest))
        document = self.client.get_manifest(self.repository.with_digest(digest))
        node = graph.parse_node(document.descriptor, document.data)
        self._documents.update(child.digest for child in node.children)
        self._sizes |= {blob.digest: blob.size for blob in node.blobs}
        return io.BytesIO(document.data)

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """Return the referrers of a manifest, as the store would list them."""
        if digest not in self._referrers:
            descriptors = {link.digest: link.descriptor for link in self._source.referrers(digest)}
            for tag, tagged in self._source.cosign_tags([digest]).items():
                for descriptor in tagged:
                    listed_descriptor = descriptors.get(descriptor.digest, descriptor)
                    annotations = {**listed_descriptor.annotations, oci.REF_NAME: tag}
                    descriptors[descriptor.digest] = msgspec.structs.replace(
                        listed_descriptor, annotations=annotations
                    )
            self._documents.update(descriptors)
            self._referrers[digest] = tuple(descriptors.values())
        return self._referrers[digest]
