"""Layouts as ``cosign save`` writes them and ``cosign verify --local-image`` reads them.

An annotation gives the kind of a descriptor. Bundles are stored as blobs, but no index lists them.
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


def find_unlisted(folder: Path, root: Descriptor) -> tuple[Descriptor, ...]:
    """Return the manifests in a directory of blobs that refer to ``root``; unreadable blobs are skipped."""
    if root.annotations.get(KIND) not in IMAGES:
        return ()
    descriptors: list[Descriptor] = []
    for path in sorted(folder.iterdir())[:_MAX_BLOBS]:
        if len(path.name) != 64 or path.lstat().st_size > _MAX_MANIFEST:
            continue
        try:
            data = read_small(path, _MAX_MANIFEST) or b""
            manifest = oci.read_manifest(data)
        except PumiceError:
            continue
        if manifest.subject is not None and digest.of(data) == f"sha256:{path.name}":
            descriptors.append(oci.make_descriptor(data, oci.MANIFEST))
    return tuple(descriptors)


def mark_for_cosign(root: Descriptor, artifacts: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    """Return the descriptors of an image and of its referrers, with cosign's annotations."""
    kinds = {f"{root.digest.replace(':', '-')}.{suffix}": kind for suffix, kind in _LEGACY.items()}
    descriptors = [_with_kind(root, IMAGES[root.media_type == oci.INDEX])]
    for artifact in artifacts:
        kind = kinds.get(artifact.annotations.get(oci.REF_NAME, ""))
        descriptors.append(_with_kind(artifact, kind) if kind else artifact)
    return tuple(descriptors)


def remove_mark(descriptor: Descriptor) -> Descriptor:
    """Return a descriptor without the annotation of `mark_for_cosign`; cosign's own are unchanged."""
    has_tag = oci.REF_NAME in descriptor.annotations
    if not has_tag or descriptor.annotations.get(KIND) not in _LEGACY.values():
        return descriptor
    annotations = {name: value for name, value in descriptor.annotations.items() if name != KIND}
    return msgspec.structs.replace(descriptor, annotations=annotations)


def _with_kind(descriptor: Descriptor, kind: str) -> Descriptor:
    return msgspec.structs.replace(descriptor, annotations={**descriptor.annotations, KIND: kind})
