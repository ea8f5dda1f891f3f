"""Layouts that ``cosign save`` wrote: bundles lie among their blobs, but no index lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice import digest
from pumice.errors import PumiceError
from pumice.formats import oci
from pumice.image.plain import read_small

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.formats.oci import Descriptor

KIND = "kind"
IMAGES = ("dev.cosignproject.cosign/image", "dev.cosignproject.cosign/imageIndex")
_MAX_BLOBS = 4096
_MAX_MANIFEST = 1 << 16


def unlisted(folder: Path, root: Descriptor) -> tuple[Descriptor, ...]:
    """Return the manifests in a folder of blobs that refer to ``root``; nothing that cannot be read."""
    if root.annotations.get(KIND) not in IMAGES:
        return ()
    found: list[Descriptor] = []
    for path in sorted(folder.iterdir())[:_MAX_BLOBS]:
        if len(path.name) != 64 or path.lstat().st_size > _MAX_MANIFEST:
            continue
        try:
            data = read_small(path, _MAX_MANIFEST) or b""
            manifest = oci.read_manifest(data)
        except PumiceError:
            continue
        if manifest.subject is not None and digest.of(data) == f"sha256:{path.name}":
            found.append(oci.describe(data, oci.MANIFEST))
    return tuple(found)
