"""Writing a graph to where it should be: a registry, the store, a layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice import digest
from pumice.errors import PumiceError, TrustError
from pumice.image import graph
from pumice.image.transports import cosign_tags
from pumice.registry.errors import RegistryError
from pumice.registry.message import TransportError
from pumice.registry.parallel import Cancellation, map_parallel
from pumice.registry.reference import Reference, Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.formats.oci import Descriptor
    from pumice.image.graph import Graph, Node, Source
    from pumice.progress import Progress, Task
    from pumice.registry.client import Client
    from pumice.store.directory_blobs import DirectoryWriter
    from pumice.store.home import Home


_CHUNK = 1 << 18
"""Bytes that are received at once: they are still in the processor's cache when they are written."""


_UNCHANGEABLE = frozenset({400, 403, 405, 409, 412})
"""Answers of registries with immutable tags to a tag that is there already."""


class Counts(msgspec.Struct, frozen=True):
    """What became of an image's blobs: how many were sent (or fetched), there already, or mounted."""

    sent: int = 0
    present: int = 0
    mounted: int = 0


class ToRegistry:
    """Writes graphs to a repository."""

    def __init__(self, client: Client, target: Reference, *, mount: Repository | None = None) -> None:
        """``mount`` is the repository that the blobs come from, if it is of the same registry."""
        self._client = client
        self._target = target
        self._repository = target.repository
        self._mount = mount

    def write(self, gathered: Graph, source: Source, progress: Progress) -> Counts:
        """Send what is missing, blobs first and the tag last; raises PumiceError."""
        if self._target.digest and self._target.digest != gathered.root.digest:
            raise TrustError(f"the image's digest is {gathered.root.digest}", where=str(self._target))
        counts = self._send_blobs(gathered, source, progress)
        self._send_documents(gathered)
        tag = self._target.tag
        root = gathered.nodes[gathered.root.digest]
        if tag:
            self._put_tag(root, self._repository.with_tag(tag))
        return counts

    def _put_tag(self, root: Node, target: Reference) -> None:
        """Write the tag; one that may not change, and is what it should be already, is no failure."""
        try:
            self._put(root, target)
        except RegistryError as error:
            if error.status not in _UNCHANGEABLE or not self._stands_for(target, root.descriptor.digest):
                raise

    def _stands_for(self, target: Reference, expected: str) -> bool:
        try:
            found = self._client.head_manifest(target, skip_mirrors=True)
        except RegistryError:
            return False
        return found is not None and found.digest == expected

    def _send_blobs(self, gathered: Graph, source: Source, progress: Progress) -> Counts:
        blobs = sorted(gathered.blobs().values(), key=lambda one: (-one.size, one.digest))
        brake = Cancellation()
        with progress.task(f"pushing {self._target}", sum(blob.size for blob in blobs)) as task:
            done = map_parallel(lambda blob: self._send(blob, source, task, brake), blobs, cancellation=brake)
        return Counts(done.count("sent"), done.count("present"), done.count("mounted"))

    def _send(self, blob: Descriptor, source: Source, task: Task, brake: Cancellation) -> str:
        advanced = 0

        def sent(count: int) -> None:
            nonlocal advanced
            brake.raise_if_cancelled()
            fresh = min(count, blob.size - advanced)  # what is sent again is no progress
            advanced += fresh
            task.advance(fresh)

        brake.raise_if_cancelled()
        if graph.may_be_absent(blob):
            task.advance(blob.size)
            return "left"
        outcome = self._client.upload_blob(
            self._repository, blob, lambda: source.open(blob), mount_from=self._mount, on_sent=sent
        )
        task.advance(blob.size - advanced)
        return outcome

    def _send_documents(self, gathered: Graph) -> None:
        """Send manifests, children before their index, image before what refers to it."""
        unlisted: dict[str, list[Node]] = {}
        for name, node in gathered.nodes.items():
            if name == gathered.root.digest and self._target.tag and not node.subject:
                continue  # goes last, with the tag
            target = self._repository.with_digest(name)
            if node.subject or not self._is_there(target):
                listed = self._put(node, target)
                if node.subject and not listed:
                    unlisted.setdefault(node.subject, []).append(node)
        for tag, some in gathered.tags.items():
            nodes = [gathered.nodes[descriptor.digest] for descriptor in some]
            cosign_tags.put(self._client, self._repository.with_tag(tag), nodes)
        self._list(gathered, unlisted)

    def _is_there(self, target: Reference) -> bool:
        """Whether the registry is known to have a manifest: one that does not say gets it once more."""
        try:
            return self._client.head_manifest(target, skip_mirrors=True) is not None
        except RegistryError:
            return False

    def _list(self, gathered: Graph, unlisted: Mapping[str, list[Node]]) -> None:
        """Keep the lists that the registry does not keep."""
        entries: dict[str, dict[str, dict[str, Any]]] = {}
        for subject, found in gathered.lists.items():
            silent = [one for one in found if gathered.nodes[one.digest].subject != subject]
            for link in silent:  # listed by a tag only, and says nothing of it itself
                entries.setdefault(subject, {})[link.digest] = msgspec.json.decode(link.raw)
        for subject, nodes in unlisted.items():
            known = {link.digest: msgspec.json.decode(link.raw) for link in gathered.lists.get(subject, ())}
            for node in nodes:
                name = node.descriptor.digest
                entries.setdefault(subject, {})[name] = known.get(name) or node.entry()
        for subject, listed in sorted(entries.items()):
            order = [link.digest for link in gathered.lists.get(subject, ())]
            ordered = sorted(listed.values(), key=lambda one: (_place(order, one["digest"]), one["digest"]))
            self._client.add_fallback_referrers(self._repository, subject, ordered)

    def _put(self, node: Node, target: Reference) -> bool:
        return self._client.put_manifest(target, node.data, node.descriptor.media_type).is_listed


def _place(order: list[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


class ToStore:
    """Writes graphs to the local store, under a name."""

    def __init__(self, home: Home, name: str) -> None:
        """``name`` is ``name:version``."""
        self._home = home
        self._name = name

    def write(self, gathered: Graph, source: Source, progress: Progress) -> Counts:
        """Fetch what is missing; the name comes last. Raises PumiceError."""
        blobs = sorted(gathered.blobs().values(), key=lambda one: (-one.size, one.digest))
        for known in (*blobs, *(node.descriptor for node in gathered.nodes.values())):
            digest.check(known.digest)
        attached = gathered.attached()
        brake = Cancellation()
        with progress.task(f"pulling {self._name}", sum(blob.size for blob in blobs)) as task:
            done = map_parallel(
                lambda blob: self._fetch(blob, source, task, brake), blobs, cancellation=brake
            )
        for node in gathered.nodes.values():
            self._keep(node.data)
        for subject, found in attached.items():
            self._home.referrers.add(subject, found)
        self._home.refs.set(self._name, gathered.root)
        return Counts(done.count("sent"), done.count("present"))

    def _fetch(self, blob: Descriptor, source: Source, task: Task, brake: Cancellation) -> str:
        brake.raise_if_cancelled()
        if self._home.blobs.size(blob.digest) is not None:
            task.advance(blob.size)
            return "present"

        try:
            with self._home.blobs.writer() as writer, source.open(blob) as file:
                left = blob.size
                while left > 0 and (data := file.read(min(_CHUNK, left))):
                    brake.raise_if_cancelled()
                    writer.write(data)
                    left -= len(data)
                    task.advance(len(data))
                if left or file.read(1):
                    raise _other(blob.digest)
                _commit(writer, blob.digest)
        except TransportError:
            raise
        except PumiceError:
            if graph.may_be_absent(blob):
                return "left"
            raise
        return "sent"

    def _keep(self, data: bytes) -> None:
        name = digest.of(data)
        if self._home.blobs.size(name) is None:
            with self._home.blobs.writer() as writer:
                writer.write(data)
                writer.commit(name)


def _commit(writer: DirectoryWriter, name: str) -> None:
    """Make what was written, and hashed on the way, a blob of the store."""
    try:
        writer.commit(name)
    except TrustError:
        raise _other(name) from None


def _other(name: str) -> TrustError:
    return TrustError("a blob of the image does not have the digest it is known by", where=name)
