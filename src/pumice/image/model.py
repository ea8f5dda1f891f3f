"""An image is a root descriptor and something to read blobs from; all else is derived.

The types of image-spec 1.1 that Pumice writes, and the seam that every place where an image can
live supplies (a store, a layout, an archive, a registry).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor


class BlobSource(Protocol):
    """Where blobs are read from."""

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob; raises PumiceError if there is none."""


class Image:
    """A manifest or an index with everything below it, wherever it lives."""

    def __init__(self, root: Descriptor, blobs: BlobSource) -> None:
        self.root = root
        self.blobs = blobs
