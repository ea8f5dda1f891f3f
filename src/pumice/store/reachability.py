"""Find the blobs that images consist of, by following every descriptor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.digest import check
from pumice.errors import PumiceError
from pumice.formats import oci

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.store.directory_blobs import DirectoryBlobs


def find_reachable(
    roots: Iterable[Descriptor],
    blobs: DirectoryBlobs,
    size_of: Callable[[Digest], int | None] | None = None,
) -> dict[Digest, bool]:
    """Return every blob that is reachable from ``roots``, and whether it is present.

    Parts of composed blobs are included. Descriptors are followed anywhere in a JSON document, so that
    document types of the future are kept as well; an unreadable document has no descriptors. ``size_of``
    returns None for a missing blob; it is `DirectoryBlobs.size` by default, which removes damaged blobs.
    """
    size_of = size_of or blobs.size
    presence: dict[Digest, bool] = {}
    pending = [(root.digest, root.media_type) for root in roots]
    while pending:
        digest, media_type = pending.pop()
        if digest in presence:
            continue
        size = size_of(digest)
        presence[digest] = size is not None
        composition = blobs.composition(digest)
        for part in composition.parts if composition else ():
            presence[part] = presence.get(part) or size_of(part) is not None
        if size is not None and size <= oci.MAX_DOCUMENT and media_type.endswith("json"):
            pending.extend(_read_children(digest, blobs))
    return presence


def _read_children(digest: Digest, blobs: DirectoryBlobs) -> list[tuple[Digest, str]]:
    try:
        with blobs.open(digest) as file:
            document = msgspec.json.decode(file.read(oci.MAX_DOCUMENT))
    except (PumiceError, msgspec.MsgspecError, ValueError, RecursionError):
        return []
    return list(_find_descriptors(document))


def _find_descriptors(document: object) -> Iterator[tuple[Digest, str]]:
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            digest, media_type = value.get("digest"), value.get("mediaType")
            if isinstance(digest, str) and isinstance(media_type, str):
                try:
                    yield check(digest), media_type
                except PumiceError:
                    pass  # another digest algorithm, which this store does not support
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
