"""Sends an image with all its referrers to a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import TrustError
from pumice.image import graph
from pumice.image.transports import cosign_tags
from pumice.image.transports.locations import count_outcomes
from pumice.registry.errors import RegistryError
from pumice.registry.parallel import Cancellation, map_parallel
from pumice.registry.reference import Reference, Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.formats.oci import Descriptor
    from pumice.image.graph import Graph, Node, Source
    from pumice.image.transports.locations import Counts
    from pumice.progress import Progress, Task
    from pumice.registry.client import Client

_IMMUTABLE_TAG = frozenset({400, 403, 405, 409, 412})
"""Statuses with which registries refuse to replace an immutable tag."""


class RegistryWriter:
    """Writes images to a repository."""

    def __init__(self, client: Client, target: Reference, *, mount: Repository | None = None) -> None:
        """``mount`` is the repository that the blobs are read from, None if it is not in a registry."""
        self._client = client
        self._target = target
        self._repository = target.repository
        self._mount = mount

    def write(self, gathered: Graph, source: Source, progress: Progress) -> Counts:
        """Send what the registry does not have, blobs first and the tag last; raises PumiceError."""
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
        """Write the tag; an immutable tag that has the right digest already is not an error."""
        try:
            self._put(root, target)
        except RegistryError as error:
            if error.status not in _IMMUTABLE_TAG or not self._has_digest(target, root.descriptor.digest):
                raise

    def _has_digest(self, target: Reference, expected: str) -> bool:
        try:
            descriptor = self._client.head_manifest(target, skip_mirrors=True)
        except RegistryError:
            return False
        return descriptor is not None and descriptor.digest == expected

    def _send_blobs(self, gathered: Graph, source: Source, progress: Progress) -> Counts:
        blobs = sorted(gathered.blobs().values(), key=lambda blob: (-blob.size, blob.digest))
        cancellation = Cancellation()
        with progress.task(f"pushing {self._target}", sum(blob.size for blob in blobs)) as task:
            outcomes = map_parallel(
                lambda blob: self._send(blob, source, task, cancellation), blobs, cancellation=cancellation
            )
        return count_outcomes(blobs, outcomes)

    def _send(self, blob: Descriptor, source: Source, task: Task, cancellation: Cancellation) -> str:
        reported_count = 0

        def report_sent(count: int) -> None:
            nonlocal reported_count
            cancellation.raise_if_cancelled()
            new_count = min(count, blob.size - reported_count)  # bytes that are sent again do not count
            reported_count += new_count
            task.advance(new_count)

        cancellation.raise_if_cancelled()
        if graph.may_be_absent(blob):
            task.advance(blob.size)
            return "left"
        outcome = self._client.upload_blob(
            self._repository, blob, lambda: source.open(blob), mount_from=self._mount, on_sent=report_sent
        )
        task.advance(blob.size - reported_count)
        return outcome

    def _send_documents(self, gathered: Graph) -> None:
        """Send manifests: children before their index, an image before its referrers."""
        unlisted: dict[str, list[Node]] = {}
        for name, node in gathered.nodes.items():
            if name == gathered.root.digest and self._target.tag and not node.subject:
                continue  # sent last, with the tag
            target = self._repository.with_digest(name)
            if node.subject or not self._is_present(target):
                is_listed = self._put(node, target)
                if node.subject and not is_listed:
                    unlisted.setdefault(node.subject, []).append(node)
        for tag, descriptors in gathered.tags.items():
            nodes = [gathered.nodes[descriptor.digest] for descriptor in descriptors]
            cosign_tags.merge_into_tag(self._client, self._repository.with_tag(tag), nodes)
        self._list_referrers(gathered, unlisted)

    def _is_present(self, target: Reference) -> bool:
        """Return whether the registry has a manifest; if it does not respond, the manifest is sent again."""
        try:
            return self._client.head_manifest(target, skip_mirrors=True) is not None
        except RegistryError:
            return False

    def _list_referrers(self, gathered: Graph, unlisted: Mapping[str, list[Node]]) -> None:
        """List referrers under the fallback tag where the registry has no referrers API."""
        entries: dict[str, dict[str, dict[str, Any]]] = {}
        for subject, links in gathered.referrers.items():
            # These are listed under a tag, but do not name the subject themselves.
            unlinked = [link for link in links if gathered.nodes[link.digest].subject != subject]
            for link in unlinked:
                entries.setdefault(subject, {})[link.digest] = msgspec.json.decode(link.raw)
        for subject, nodes in unlisted.items():
            source_entries = {
                link.digest: msgspec.json.decode(link.raw) for link in gathered.referrers.get(subject, ())
            }
            for node in nodes:
                name = node.descriptor.digest
                entries.setdefault(subject, {})[name] = source_entries.get(name) or node.entry()
        for subject, subject_entries in sorted(entries.items()):
            order = [link.digest for link in gathered.referrers.get(subject, ())]
            sorted_entries = sorted(
                subject_entries.values(),
                key=lambda entry: (_find_position(order, entry["digest"]), entry["digest"]),
            )
            self._client.add_fallback_referrers(self._repository, subject, sorted_entries)

    def _put(self, node: Node, target: Reference) -> bool:
        return self._client.put_manifest(target, node.data, node.descriptor.media_type).is_listed


def _find_position(order: list[str], name: str) -> int:
    return order.index(name) if name in order else len(order)
