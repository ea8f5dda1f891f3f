"""Torrents of the blobs of an image, as an artifact that refers to it.

The artifact has a layer for each torrent, whose annotation names the blob. It is found, copied and deleted
like a signature, in every registry. It is only a hint: what is downloaded has the digests of the image.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice import digest
from pumice.errors import PumiceError
from pumice.formats import oci, torrent
from pumice.image import graph
from pumice.image.transports.gathered_image import GatheredImage
from pumice.registry.listing import Referrer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.formats.oci import Descriptor
    from pumice.image.graph import CosignTags, Graph, Source
    from pumice.progress import Progress

MIN_SIZE = 1 << 20
"""Bytes of the smallest blob that gets a torrent."""

_CHUNK = 1 << 20


def add_torrents(
    gathered: GatheredImage,
    repository_url: str,
    trackers: Sequence[str],
    *,
    with_v1: bool,
    progress: Progress,
) -> GatheredImage:
    """Return an image with torrents of its large blobs, instead of those that it may have.

    ``repository_url`` is the URL of the repository (``https://HOST/v2/NAME``), for web seeds. Reads the
    blobs; raises PumiceError.
    """
    torrents = _make_torrents(gathered, repository_url, trackers, with_v1=with_v1, progress=progress)
    if not torrents:
        return gathered
    layers = tuple(_make_layer(data, name) for name, data in torrents.items())
    document = oci.encode_document(
        oci.Manifest(
            schema_version=2,
            media_type=oci.MANIFEST,
            artifact_type=torrent.ARTIFACT_TYPE,
            config=oci.EMPTY_CONFIG,
            layers=layers,
            subject=oci.bare_descriptor(gathered.graph.root),
        )
    )
    node = graph.parse_node(oci.make_descriptor(document, oci.MANIFEST), document)
    blobs = {digest.of(data): data for data in (b"{}", *torrents.values())}
    return GatheredImage(
        _replace_artifact(gathered.graph, node), _SourceWithBlobs(gathered.source, blobs), gathered.repository
    )


def _make_torrents(
    gathered: GatheredImage,
    repository_url: str,
    trackers: Sequence[str],
    *,
    with_v1: bool,
    progress: Progress,
) -> dict[str, bytes]:
    """Return torrents by the digests of the large blobs of an image."""
    nodes = _nodes_of_image(gathered.graph)
    blobs = {blob.digest: blob for node in nodes for blob in node.blobs if blob.size >= MIN_SIZE}
    torrents: dict[str, bytes] = {}
    with progress.task("making torrents", sum(blob.size for blob in blobs.values())) as task:
        for name, blob in sorted(blobs.items()):
            torrents[name] = torrent.make_torrent(
                digest.hex_of(name),
                blob.size,
                _read_chunks(gathered.source, blob),
                trackers=trackers,
                web_seeds=[f"{repository_url}/blobs/{name}"],
                with_v1=with_v1,
            )
            task.advance(blob.size)
    return torrents


def find_torrents(image_graph: Graph) -> dict[str, Descriptor]:
    """Return the descriptors of torrents by the digest of the blob that each is for."""
    torrents: dict[str, Descriptor] = {}
    for link in image_graph.referrers.get(image_graph.root.digest, ()):
        node = image_graph.nodes.get(link.digest)
        if node is None or not _is_artifact(node):
            continue
        for layer in node.blobs:
            name = layer.annotations.get(torrent.BLOB_ANNOTATION, "")
            if name and layer.media_type == torrent.MEDIA_TYPE and layer.size <= torrent.MAX_SIZE:
                torrents.setdefault(name, layer)
    return torrents


def _make_layer(data: bytes, blob: str) -> Descriptor:
    descriptor = oci.make_descriptor(data, torrent.MEDIA_TYPE)
    return msgspec.structs.replace(descriptor, annotations={torrent.BLOB_ANNOTATION: blob})


def _nodes_of_image(image_graph: Graph) -> list[graph.Node]:
    """Return the manifests of the image itself, without referrers."""
    others = {node.descriptor.digest for node in image_graph.list_referrers()}
    return [node for name, node in image_graph.nodes.items() if name not in others]


def _is_artifact(node: graph.Node) -> bool:
    return node.entry().get("artifactType") == torrent.ARTIFACT_TYPE


def _replace_artifact(image_graph: Graph, node: graph.Node) -> Graph:
    """Return the graph with the artifact ``node``, and without others of its kind."""
    root = image_graph.root.digest
    replaced = {name for name, other in image_graph.nodes.items() if _is_artifact(other)}
    entry = node.entry()
    link = Referrer(msgspec.convert(entry, oci.Descriptor), msgspec.json.encode(entry))
    links = tuple(link for link in image_graph.referrers.get(root, ()) if link.digest not in replaced)
    return graph.Graph(
        image_graph.root,
        {name: other for name, other in image_graph.nodes.items() if name not in replaced}
        | {node.descriptor.digest: node},
        image_graph.referrers | {root: (*links, link)},
        image_graph.tags,
    )


def _read_chunks(source: Source, blob: Descriptor) -> Iterator[bytes]:
    with source.open(blob) as file:
        yield from iter(lambda: file.read(_CHUNK), b"")


class _SourceWithBlobs:
    """A source with a few blobs in memory."""

    def __init__(self, source: Source, blobs: dict[str, bytes]) -> None:
        self._source = source
        self._blobs = blobs

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index."""
        return self._source.document(descriptor)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob."""
        if descriptor.digest in self._blobs:
            return io.BytesIO(self._blobs[descriptor.digest])
        return self._source.open(descriptor)

    def referrers(self, name: str) -> Sequence[Referrer]:
        """Return the referrers of a manifest."""
        return self._source.referrers(name)

    def cosign_tags(self, digests: Sequence[str]) -> CosignTags:
        """Return the tags of cosign."""
        return self._source.cosign_tags(digests)


def read_torrent(
    source: Source, descriptor: Descriptor, blob: Descriptor
) -> tuple[torrent.Torrent, bytes] | None:
    """Return the torrent for a blob, None if it is not one for a file of that size."""
    try:
        with source.open(descriptor) as file:
            data = file.read(descriptor.size + 1)
        if len(data) != descriptor.size or digest.of(data) != descriptor.digest:
            return None
        parsed = torrent.read_torrent(data)
    except PumiceError:
        return None
    return (parsed, data) if parsed.size == blob.size else None
