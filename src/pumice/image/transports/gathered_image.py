"""An image with all its documents in memory, as a copy needs it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.formats import oci
from pumice.image.model import Image

if TYPE_CHECKING:
    from pumice.image.graph import Graph, Source
    from pumice.registry.reference import Repository


class GatheredImage(msgspec.Struct, frozen=True):
    """All documents of an image with its referrers, and the source of the blobs."""

    graph: Graph
    source: Source
    repository: Repository | None = None


class _GatheredBlobs:
    """The documents of a graph in memory, and its blobs in the source."""

    def __init__(self, gathered_graph: Graph, source: Source) -> None:
        self._source = source
        self._blobs = gathered_graph.blobs()
        self._documents = {digest: node.data for digest, node in gathered_graph.nodes.items()}

    def open(self, digest: str) -> BinaryIO:
        """Open a document or blob."""
        if digest in self._documents:
            return io.BytesIO(self._documents[digest])
        return self._source.open(self._blobs[digest])


def image_of(gathered: GatheredImage) -> Image:
    """Return a gathered image with its referrers as an `Image`."""
    attached = gathered.graph.referrers_by_subject()
    root = gathered.graph.nodes[gathered.graph.root.digest].descriptor
    blobs = _GatheredBlobs(gathered.graph, gathered.source)
    return Image(oci.bare_descriptor(root), blobs, lambda digest: attached.get(digest, ()))
