"""Adds signatures and attestations to an image in the store or in a layout directory."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from pumice import digest
from pumice.formats import oci
from pumice.store.blobs import write_blob

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image
    from pumice.store.home import Home


class StoreAttachment:
    """Changes to the referrers of images in the store."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._changes: list[tuple[Digest, Sequence[Descriptor], Sequence[Digest]]] = []

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Store a blob."""
        return oci.Descriptor(media_type, write_blob(data, self._home.blobs), len(data))

    def change(self, subject: Digest, add: Sequence[Descriptor], remove: Sequence[Digest]) -> None:
        """Record a change."""
        self._changes.append((subject, add, remove))

    def finish(self) -> None:
        """Make the changes."""
        for subject, add, remove in self._changes:
            self._home.referrers.add(subject, add)
            if remove:
                self._home.referrers.remove(subject, remove)
        self._changes.clear()


class LayoutAttachment:
    """Changes to the referrers in a layout directory, which lists all of them in one index."""

    def __init__(self, directory: Path, image: Image) -> None:
        self._directory = directory
        self._image = image
        self._new: dict[Digest, bytes] = {}
        self._listed = image.listed_referrers

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a new blob, or one of the layout."""
        data = self._new.get(digest_)
        return self._image.blobs.open(digest_) if data is None else io.BytesIO(data)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Keep a blob in memory until `finish`."""
        self._new[digest.of(data)] = data
        return oci.make_descriptor(data, media_type)

    def change(self, subject: Digest, add: Sequence[Descriptor], remove: Sequence[Digest]) -> None:
        """Record a change."""
        self._listed = _update_descriptors(self._listed, add, remove)

    def finish(self) -> None:
        """Write blobs, the index of referrers, and the layout's index, in this order."""
        from pumice.image.transports import layout_writer

        layout_writer.attach_referrers(self._directory, self._image, self._listed, self)


def _update_descriptors(
    descriptors: Sequence[Descriptor], add: Sequence[Descriptor], remove: Sequence[Digest]
) -> tuple[Descriptor, ...]:
    descriptors_by_digest = {
        descriptor.digest: descriptor for descriptor in descriptors if descriptor.digest not in remove
    }
    return tuple((descriptors_by_digest | {descriptor.digest: descriptor for descriptor in add}).values())
