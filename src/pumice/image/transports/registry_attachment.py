"""Adds signatures and attestations to an image in a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.image import graph, referrers
from pumice.image.transports import cosign_tags
from pumice.registry import blob_content
from pumice.registry.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor
    from pumice.registry.client import Client
    from pumice.registry.reference import Repository


class RegistryAttachment:
    """Changes to the referrers in a repository, kept in memory until `finish`."""

    def __init__(self, client: Client, repository: Repository) -> None:
        self._client = client
        self._repository = repository
        self._new: dict[str, bytes] = {}
        self._changes: list[tuple[str, Sequence[Descriptor], Sequence[str]]] = []

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Keep a blob that a referrer needs, until `finish`."""
        name = blob_content.digest_of(data)
        self._new[name] = data
        return oci.Descriptor(media_type, name, len(data))

    def change(self, subject: str, add: Sequence[Descriptor], remove: Sequence[str]) -> None:
        """Record a change to the referrers of ``subject``, which `finish` makes."""
        self._changes.append((subject, add, remove))

    def finish(self) -> None:
        """Send the blobs and referrers, and remove the old ones after the new ones are sent.

        Raises RegistryError and TransportError; then the registry keeps what was sent before.
        """
        for subject, add, remove in self._changes:
            for referrer in add:
                self._send(referrer, subject, remove)
            for digest in remove:
                self._remove(digest, subject)
        self._changes.clear()

    def _send(self, referrer: Descriptor, subject: str, replaced: Sequence[str]) -> None:
        data = self._new.get(referrer.digest)
        if data is None:
            raise FormatError("cannot attach a manifest that was not put first", where=referrer.digest)
        node = graph.parse_node(referrer, data)
        for blob in node.blobs:
            if blob.digest in self._new:
                self._client.upload_blob(self._repository, blob, self._new[blob.digest])
        kind = node.descriptor.media_type
        uploaded_manifest = self._client.put_manifest(
            self._repository.with_digest(referrer.digest), data, kind
        )
        if not uploaded_manifest.is_listed:
            self._client.add_fallback_referrers(self._repository, subject, [node.entry()])
        if tag := referrers.tag_of(referrer, subject):
            cosign_tags.merge_into_tag(
                self._client, self._repository.with_tag(tag), [node], replaced=replaced
            )

    def _remove(self, digest: str, subject: str) -> None:
        """Remove a referrer, or only unlist it where the registry does not allow deleting."""
        try:
            self._client.delete(self._repository.with_digest(digest))
        except RegistryError:
            self._client.remove_fallback_referrer(self._repository, subject, digest)
