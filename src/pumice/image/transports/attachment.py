"""Where signatures are put: the store, or the layout folder that the image lies in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pumice import digest
from pumice.errors import UsageError
from pumice.formats import oci

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image
    from pumice.store.home import Home


class Place(Protocol):
    """Something that signatures can be added to."""

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Keep a blob that a referrer will need."""

    def change(self, subject: Digest, add: Sequence[Descriptor], remove: Sequence[Digest]) -> None:
        """Say that what refers to ``subject`` changes; counts from `finish` on."""

    def finish(self) -> None:
        """Make the changes, durably, all or nothing for each subject."""


class StorePlace:
    """The store."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._changes: list[tuple[Digest, Sequence[Descriptor], Sequence[Digest]]] = []

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Keep a blob."""
        with self._home.blobs.writer() as writer:
            writer.write(data)
            return oci.Descriptor(media_type, writer.commit(), len(data))

    def change(self, subject: Digest, add: Sequence[Descriptor], remove: Sequence[Digest]) -> None:
        """Remember a change."""
        self._changes.append((subject, add, remove))

    def finish(self) -> None:
        """Make the changes."""
        for subject, add, remove in self._changes:
            self._home.referrers.add(subject, add)
            if remove:
                self._home.referrers.remove(subject, remove)
        self._changes.clear()


class LayoutPlace:
    """A layout folder: all that refers to its image stands in one index."""

    def __init__(self, folder: Path, image: Image) -> None:
        self._folder = folder
        self._image = image
        self._new: dict[Digest, bytes] = {}
        self._listed = image.beside

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob, a new one or one of the layout."""
        known = self._new.get(digest_)
        return self._image.blobs.open(digest_) if known is None else io.BytesIO(known)

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Keep a blob in memory until `finish`."""
        self._new[digest.of(data)] = data
        return oci.make_descriptor(data, media_type)

    def change(self, subject: Digest, add: Sequence[Descriptor], remove: Sequence[Digest]) -> None:  # noqa: ARG002
        """Remember a change."""
        self._listed = _changed(self._listed, add, remove)

    def finish(self) -> None:
        """Write blobs, the index of referrers, and the layout's index, in this order."""
        from pumice.image.transports import layout

        layout.attach(self._folder, self._image, self._listed, self)


def of(reference: str, image: Image, home: Home) -> Place:
    """Return the place of the image that ``reference`` named; raises UsageError where none can be signed."""
    kind, _, rest = reference.partition(":")
    if kind == "oci":
        from pathlib import Path

        return LayoutPlace(Path(rest.partition(":")[0]), image)
    if kind in ("oci-archive", "docker-archive"):
        raise UsageError(
            "an archive is not changed once it is written",
            where=reference,
            hint="sign the image in the store or in an oci: layout, or the archive by an OpenPGP key",
        )
    return StorePlace(home)


def _changed(
    old: Sequence[Descriptor], add: Sequence[Descriptor], remove: Sequence[Digest]
) -> tuple[Descriptor, ...]:
    kept = {one.digest: one for one in old if one.digest not in remove}
    return tuple((kept | {one.digest: one for one in add}).values())
