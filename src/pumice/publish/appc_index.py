"""What an App Container tree has: ``images.json``, with one entry for each file of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.image.regular_file import read_small
from pumice.trust import version_order

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

FILE = "images.json"
_MAX_FILE = 64 << 20


class PublishedImage(msgspec.Struct, frozen=True, kw_only=True):
    """One image: ``file`` is relative to the tree, ``size`` in bytes.

    ``source`` identifies what it was made of, so that it is not made again. ``signers`` are fingerprints.
    """

    name: str
    version: str
    os: str
    arch: str
    file: str
    size: int
    image_id: str
    source: str
    signers: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What distinguishes it from the others."""
        return self.name, self.version, self.os, self.arch


class AppcIndex(msgspec.Struct, frozen=True):
    """All images of a tree."""

    images: tuple[PublishedImage, ...] = ()

    def find(self, image: tuple[str, str, str, str]) -> PublishedImage | None:
        """Return the entry for a name, version, os and arch."""
        return next((each for each in self.images if each.key == image), None)

    def with_images(self, new: Iterable[PublishedImage]) -> AppcIndex:
        """Return the index with more entries, which replace those for the same image."""
        entries = {image.key: image for image in (*self.images, *new)}
        return AppcIndex(tuple(entries[key] for key in sorted(entries)))

    def without(self, untagged: Collection[tuple[str, str]]) -> AppcIndex:
        """Return the index without the images that have one of these names and versions."""
        kept = (image for image in self.images if (image.name, image.version) not in untagged)
        return AppcIndex(tuple(kept))

    def encode(self) -> bytes:
        """Return the JSON, the same for equal indexes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def read_index(directory: Path) -> AppcIndex:
    """Return the index of a tree, empty if there is none; raises FormatError."""
    path = directory / FILE
    data = read_small(path, _MAX_FILE)
    if data is None:
        return AppcIndex()
    try:
        return msgspec.json.decode(data, type=AppcIndex)
    except msgspec.MsgspecError:
        raise FormatError(
            "the index is damaged", where=str(path), hint="remove it, and publish all images again"
        ) from None


def find_newest(images: Sequence[PublishedImage]) -> PublishedImage:
    """Return the image with the newest version; versions without an order count least."""
    newest = images[0]
    for image in images[1:]:
        order = version_order.compare_versions(newest.version, image.version)
        if order == -1 or (order is None and version_order.is_ordered(image.version)):
            newest = image
    return newest
