"""What an image consists of, by following every descriptor: enough to decide what must be kept."""

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


def reachable(
    roots: Iterable[Descriptor],
    blobs: DirectoryBlobs,
    size_of: Callable[[Digest], int | None] | None = None,
) -> dict[Digest, bool]:
    """Return every blob that ``roots`` lead to, and whether it is there; parts of composed ones too.

    Documents are read as any JSON in which descriptors stand anywhere, so that kinds which come
    later are kept as well. What cannot be read leads nowhere. ``size_of`` says what is there, by
    default `DirectoryBlobs.size`, which removes what is damaged.
    """
    size_of = size_of or blobs.size
    found: dict[Digest, bool] = {}
    pending = [(root.digest, root.media_type) for root in roots]
    while pending:
        digest, media_type = pending.pop()
        if digest in found:
            continue
        size = size_of(digest)
        found[digest] = size is not None
        whole = blobs.parts(digest)
        for part in whole.parts if whole else ():
            found[part] = found.get(part) or size_of(part) is not None
        if size is not None and size <= oci.MAX_DOCUMENT and media_type.endswith("json"):
            pending.extend(_children(digest, blobs))
    return found


def _children(digest: Digest, blobs: DirectoryBlobs) -> list[tuple[Digest, str]]:
    try:
        with blobs.open(digest) as file:
            document = msgspec.json.decode(file.read(oci.MAX_DOCUMENT))
    except (PumiceError, msgspec.MsgspecError, ValueError, RecursionError):
        return []
    return list(_descriptors(document))


def _descriptors(document: object) -> Iterator[tuple[Digest, str]]:
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            digest, media_type = value.get("digest"), value.get("mediaType")
            if isinstance(digest, str) and isinstance(media_type, str):
                try:
                    yield check(digest), media_type
                except PumiceError:
                    pass  # another algorithm: nothing that this store could hold
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
