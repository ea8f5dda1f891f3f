"""Layouts as ``cosign save`` writes them and ``cosign verify --local-image`` reads them.

An annotation says what a descriptor is. Bundles lie among the blobs, but no index lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.errors import PumiceError
from pumice.formats import oci
from pumice.image.regular_file import read_small

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.formats.oci import Descriptor

KIND = "kind"
IMAGES = ("dev.cosignproject.cosign/image", "dev.cosignproject.cosign/imageIndex")
_LEGACY = {"sig": "dev.cosignproject.cosign/sigs", "att": "dev.cosignproject.cosign/atts"}
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
            found.append(oci.make_descriptor(data, oci.MANIFEST))
    return tuple(found)


def marked(root: Descriptor, artifacts: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """Return an image's descriptor and those of what is about it, as cosign looks for them."""
    kinds = {f"{root.digest.replace(':', '-')}.{suffix}": kind for suffix, kind in _LEGACY.items()}
    found = [_with(root, IMAGES[root.media_type == oci.INDEX])]
    for one in artifacts:
        kind = kinds.get(one.annotations.get(oci.REF_NAME, ""))
        found.append(_with(one, kind) if kind else one)
    return tuple(found)


def unmarked(descriptor: Descriptor) -> Descriptor:
    """Return a descriptor without what `marked` says of it; cosign's own have no other name."""
    own = oci.REF_NAME in descriptor.annotations
    if not own or descriptor.annotations.get(KIND) not in _LEGACY.values():
        return descriptor
    rest = {name: value for name, value in descriptor.annotations.items() if name != KIND}
    return msgspec.structs.replace(descriptor, annotations=rest)


def _with(descriptor: Descriptor, kind: str) -> Descriptor:
    return msgspec.structs.replace(descriptor, annotations={**descriptor.annotations, KIND: kind})
