"""Publishes images as a static OCI registry: the files that the pull endpoints of a registry respond with.

The URLs are those of distribution-spec 1.1 ("Pull", "Content Discovery"): manifests by tag and digest,
blobs, ``tags/list`` and ``referrers/<digest>``. The order of writing makes every state consistent for
clients: blobs, then the manifests that refer to them, then the lists of referrers and the tags of cosign,
and the tag of the image last. Nothing with a digest in its name is ever changed, and `unreferenced`
removes it only after a grace period.
"""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import digest
from pumice.errors import FormatError, ImageError, PumiceError, TrustError, UsageError
from pumice.formats import image_names, oci, simplesigning, torrent
from pumice.image import graph
from pumice.image.transports import cosign_tags
from pumice.progress import Silent
from pumice.publish.tree import BYTES, JSON, ChangedError
from pumice.registry.listing import parse_referrers
from pumice.registry.parallel import Cancellation, map_parallel
from pumice.registry.reference import Repository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.formats.oci import Descriptor
    from pumice.image.graph import Graph, Node, Source
    from pumice.image.transports.gathered_image import GatheredImage
    from pumice.progress import Progress, Task
    from pumice.publish.tree import Tree
    from pumice.registry.listing import Referrer

ROOT = "v2/"
CATALOG = "v2/_catalog"
NO_REFERRERS = "v2/no-referrers"
"""The list that servers respond with for a manifest without a list of referrers."""

RESERVED = frozenset({"blobs", "manifests", "referrers", "tags"})
"""Components of URLs that cannot be components of a repository's name in a static tree."""

_CHUNK = 1 << 20
_MAX_CONFLICTS = 50
"""Attempts to change a file of a bucket that other processes change as well."""


class PublishedImage(msgspec.Struct, frozen=True):
    """An image to publish, with the name and tag that it gets."""

    gathered: GatheredImage
    repository: str
    tag: str

    def __str__(self) -> str:
        return f"{self.repository}:{self.tag}"


class Written(msgspec.Struct, frozen=True):
    """The numbers of blobs that were written and already present, and the bytes of those written."""

    blobs: int = 0
    present: int = 0
    size: int = 0


def check_name(repository: str, tag: str) -> None:
    """Raise UsageError for a name that a static tree cannot have."""
    if not image_names.is_name(repository) or len(repository) > image_names.MAX_NAME:
        raise UsageError(
            f"{repository[:200]!r} is not the name of a repository",
            hint="names are lower-case letters and digits, joined by one of . _ - and /",
        )
    reserved = RESERVED.intersection(repository.split("/"))
    if reserved:
        raise UsageError(
            f"a repository of a static registry cannot have the component {min(reserved)!r}",
            where=repository,
            hint="publish it under another name with --name NAME:TAG",
        )
    if not image_names.is_tag(tag):
        raise UsageError(f"{tag[:200]!r} is not a tag", where=repository, hint="use --name NAME:TAG")


def publish_images(images: Sequence[PublishedImage], tree: Tree, progress: Progress) -> Written:
    """Write images with all their referrers; raises PumiceError.

    After an error, what was published before is still served as it was.
    """
    _check_images(images)
    present = tree.list_files()
    total = Written()
    for image in images:
        written = _ImageWriter(image, tree, present).write(progress)
        total = Written(
            total.blobs + written.blobs, total.present + written.present, total.size + written.size
        )
    write_lists(tree, {image.repository for image in images})
    return total


def remove_tag(tree: Tree, repository: str, tag: str) -> None:
    """Remove a tag; raises ImageError if there is none. What it named is removed by `unreferenced`."""
    path = f"{ROOT}{repository}/manifests/{tag}"
    if tree.read(path) is None:
        raise ImageError(
            "there is no such tag in the static registry",
            where=f"{repository}:{tag}",
            hint=f"its tags are listed in {ROOT}{repository}/tags/list",
        )
    tree.remove(path)
    write_lists(tree, {repository})


def write_lists(tree: Tree, repositories: set[str]) -> None:
    """Write the lists of tags of ``repositories`` and the list of repositories, from the files themselves."""

    def write() -> None:
        lists = {name: f"{ROOT}{name}/tags/list" for name in sorted(repositories)}
        # Read before the files are listed: who adds a tag after that also changes these.
        current = {path: tree.read(path) for path in (*lists.values(), NO_REFERRERS, CATALOG, ROOT)}
        tags = _list_tags(tree)
        catalog = _encode({"repositories": sorted(name for name in tags if tags[name])})
        new = {NO_REFERRERS: encode_referrers([]), CATALOG: catalog, ROOT: b"{}"}
        for name, path in lists.items():
            if name in tags:
                new[path] = _encode({"name": name, "tags": sorted(tags[name])})
            else:
                tree.remove(path)
        for path in sorted(new, key=lambda path: path not in lists.values()):
            if new[path] != current[path]:
                media_type = oci.INDEX if path == NO_REFERRERS else JSON
                tree.write(path, media_type, [new[path]], since_read=True)

    _repeat(write)


def _list_tags(tree: Tree) -> dict[str, list[str]]:
    """Return the tags of each repository that has manifests."""
    tags: dict[str, list[str]] = {}
    for path in tree.list_files():
        name, is_manifest, reference = path.removeprefix(ROOT).rpartition("/manifests/")
        if is_manifest:
            tags.setdefault(name, []).extend([] if ":" in reference else [reference])
    return tags


def _repeat(change: Callable[[], None]) -> None:
    """Make a change, again if another process makes one to the same files of a bucket meanwhile."""
    for attempt in range(_MAX_CONFLICTS):
        try:
            change()
        except ChangedError:
            if attempt + 1 == _MAX_CONFLICTS:
                raise
        else:
            return


def encode_referrers(entries: Sequence[dict[str, Any]]) -> bytes:
    """Return the index that lists referrers ("Listing Referrers")."""
    return _encode({"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": list(entries)})


def _check_images(images: Sequence[PublishedImage]) -> None:
    digests: dict[str, str] = {}
    for image in images:
        check_name(image.repository, image.tag)
        root = image.gathered.graph.root.digest
        if digests.setdefault(str(image), root) != root:
            raise UsageError(
                "two different images would get the same name",
                where=str(image),
                hint="publish them one by one with --name NAME:TAG",
            )


class _ImageWriter:
    """Writes one image. ``present`` has the files of the tree, and is kept up to date."""

    def __init__(self, image: PublishedImage, tree: Tree, present: dict[str, int]) -> None:
        self._image = image
        self._tree = tree
        self._present = present
        self._folder = f"{ROOT}{image.repository}"
        self._blob_paths = {
            path.rpartition("/")[2]: path for path in present if path.rpartition("/")[0].endswith("/blobs")
        }

    def write(self, progress: Progress) -> Written:
        gathered = self._image.gathered
        for name in (*gathered.graph.blobs(), *gathered.graph.nodes):
            digest.check(name)
        written = self._write_blobs(gathered.graph, gathered.source, progress)
        for node in gathered.graph.nodes.values():
            self._write_manifest(node, node.descriptor.digest)
        self._write_referrers(gathered.graph)
        for tag, descriptors in gathered.graph.tags.items():
            nodes = [gathered.graph.nodes[descriptor.digest] for descriptor in descriptors]
            _repeat(functools.partial(self._merge_cosign_tag, tag, nodes))
        self._write_manifest(gathered.graph.nodes[gathered.graph.root.digest], self._image.tag)
        return written

    def _write_blobs(self, image_graph: Graph, source: Source, progress: Progress) -> Written:
        blobs = sorted(image_graph.blobs().values(), key=lambda blob: (-blob.size, blob.digest))
        missing = [blob for blob in blobs if not self._has_blob(blob)]
        cancellation = Cancellation()
        display = progress if missing else Silent()
        with display.task(f"publishing {self._image}", sum(blob.size for blob in missing)) as task:
            sizes = map_parallel(
                lambda blob: self._write_blob(blob, source, task, cancellation),
                missing,
                cancellation=cancellation,
            )
        return Written(sum(size > 0 for size in sizes), len(blobs) - len(missing), sum(sizes))

    def _has_blob(self, blob: Descriptor) -> bool:
        return self._present.get(f"{self._folder}/blobs/{blob.digest}") == blob.size

    def _write_blob(self, blob: Descriptor, source: Source, task: Task, cancellation: Cancellation) -> int:
        """Write a blob; return the bytes that were written, 0 for one that may be absent."""
        path = f"{self._folder}/blobs/{blob.digest}"
        elsewhere = self._blob_paths.get(blob.digest, path)
        is_linkable = elsewhere != path and self._present.get(elsewhere) == blob.size
        if is_linkable and path not in self._present and self._tree.link(elsewhere, path):
            self._present[path] = blob.size
            task.advance(blob.size)
            return 0
        try:
            self._tree.write(path, BYTES, _read_verified(blob, source, task, cancellation))
        except PumiceError:
            if graph.may_be_absent(blob):
                return 0
            raise
        self._present[path] = blob.size
        return blob.size

    def _write_manifest(self, node: Node, reference: str) -> None:
        path = f"{self._folder}/manifests/{reference}"
        if self._present.get(path) == len(node.data) and self._tree.read(path) == node.data:
            return
        self._tree.write(path, node.descriptor.media_type, [node.data])
        self._present[path] = len(node.data)

    def _write_referrers(self, image_graph: Graph) -> None:
        """Add the referrers to the lists; a list keeps those that other publishers added."""
        for subject in image_graph.nodes:
            links = image_graph.referrers.get(subject, ())
            _repeat(functools.partial(self._merge_referrers, subject, links))

    def _merge_referrers(self, subject: str, links: Sequence[Referrer]) -> None:
        path = f"{self._folder}/referrers/{subject}"
        listed = self._tree.read(path)
        listed_links = parse_referrers(listed, path) if listed else []
        entries = {link.digest: link.raw for link in listed_links}
        old_torrents = {link.digest for link in listed_links if _is_torrent(link)}
        if any(_is_torrent(link) for link in links):  # made for this tree, so they replace others
            entries = {name: raw for name, raw in entries.items() if name not in old_torrents}
        entries |= {link.digest: link.raw for link in links}
        data = encode_referrers([msgspec.json.decode(raw) for raw in entries.values()])
        if data != listed:
            self._tree.write(path, oci.INDEX, [data], since_read=True)
            self._present[path] = len(data)

    def _merge_cosign_tag(self, tag: str, nodes: Sequence[Node]) -> None:
        """Write a tag of cosign, with the signatures that it has already; raises ChangedError."""
        target = Repository("static", self._image.repository).with_tag(tag)
        path = f"{self._folder}/manifests/{tag}"
        current = self._tree.read(path)
        merged = cosign_tags.merge_manifests(
            [*([current] if current else []), *(node.data for node in nodes)], target
        )
        descriptor = oci.Descriptor(oci.MANIFEST, digest.of(merged), len(merged))
        node = next((node for node in nodes if node.data == merged), None)
        if node is None:
            node = graph.parse_node(descriptor, merged)
            if current != merged:
                layers = [blob.digest for blob in node.blobs if blob.media_type != oci.CONFIG]
                config = simplesigning.encode_artifact_config(layers)
                self._tree.write(f"{self._folder}/blobs/{digest.of(config)}", BYTES, [config])
                self._write_manifest(node, node.descriptor.digest)
        if node.data != current:
            self._tree.write(path, node.descriptor.media_type, [node.data], since_read=True)
            self._present[path] = len(node.data)


def _is_torrent(link: Referrer) -> bool:
    return link.descriptor.artifact_type == torrent.ARTIFACT_TYPE


def _read_verified(
    blob: Descriptor, source: Source, task: Task, cancellation: Cancellation
) -> Iterator[bytes]:
    """Yield the content of a blob; raises TrustError at its end if it is not what the digest says."""
    hasher = hashlib.sha256()
    remaining = blob.size
    with source.open(blob) as file:
        while remaining > 0 and (data := file.read(min(_CHUNK, remaining))):
            cancellation.raise_if_cancelled()
            hasher.update(data)
            remaining -= len(data)
            task.advance(len(data))
            yield data
        if remaining or file.read(1) or f"sha256:{hasher.hexdigest()}" != blob.digest:
            raise TrustError("the content of a blob is not what its digest says", where=blob.digest)


def _encode(document: object) -> bytes:
    return msgspec.json.encode(document)


def read_node(tree: Tree, path: str) -> Node | None:
    """Return a manifest of the tree, None if it is missing; raises ImageError if it is malformed."""
    data = tree.read(path)
    if data is None:
        return None
    try:
        return graph.parse_node(oci.Descriptor("", digest.of(data), len(data)), data)
    except FormatError as error:
        raise ImageError(
            f"a manifest of the registry is damaged: {error.message}",
            where=path,
            hint="publish the image again",
        ) from None
