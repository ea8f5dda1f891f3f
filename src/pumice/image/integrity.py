"""Checks that every blob of an image matches its digest, in a few threads and bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PumiceError, TrustError
from pumice.image.blob_copy import Blob, run_in_threads
from pumice.image.model import list_blobs

if TYPE_CHECKING:
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image

_WORTH_THREADS = 16 << 20
"""Bytes that are hashed faster than the thread pool is imported."""


class IntegrityReport(msgspec.Struct, frozen=True):
    """How many blobs and bytes were hashed; ``absent`` layers must not be distributed, and are missing."""

    blobs: int
    size: int
    absent: int = 0


def check_blobs(image: Image) -> IntegrityReport:
    """Hash all manifests, configs and layers of an image, of each platform.

    Raises TrustError for a blob with the wrong content, and the location's error for a missing blob.
    """
    # The largest blobs first, so that all threads finish at about the same time.
    blobs = sorted(list_blobs(image), key=lambda blob: (-blob.size, blob.digest))
    absent: list[Descriptor] = []

    def hash_blob(descriptor: Descriptor) -> None:
        try:
            Blob(descriptor, image.blobs).copy(_discard)
        except TrustError:
            raise
        except PumiceError:
            if not descriptor.urls:
                raise
            absent.append(descriptor)

    total = sum(blob.size for blob in blobs)
    if total < _WORTH_THREADS:
        for blob in blobs:
            hash_blob(blob)
    else:
        run_in_threads(hash_blob, blobs)
    return IntegrityReport(len(blobs) - len(absent), total - sum(blob.size for blob in absent), len(absent))


def _discard(_: bytes) -> None:
    """Discard the data: reading it is what checks it."""


def check_manifests(image: Image) -> int:
    """Read all manifests and indexes of an image, which checks their digests; return how many."""
    return sum(1 for _ in image.walk())
