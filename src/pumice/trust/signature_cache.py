"""A cache of signatures, so that a build that changes nothing opens no key and verifies no signature.

An entry has the manifests by which a key signed an image and its documents. It is valid only while the
store lists each manifest as a referrer of the image and has all its blobs: their digests identify their
content, so the signatures are still valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.cache_keys import cache_key
from pumice.decoding import decode_msgpack
from pumice.errors import PumiceError
from pumice.formats import oci

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.store.home import Home

_KIND = "signatures"


class _CachedSignatures(msgspec.Struct, frozen=True):
    """Manifests by the digest that they are about, and all their blobs."""

    manifests: dict[str, tuple[str, ...]]
    blobs: tuple[str, ...]


def compute_key(
    root: Digest,
    names: Sequence[str],
    key: Digest,
    documents: Mapping[Digest, Sequence[Descriptor]],
    time: int = 0,
) -> Digest:
    """Return the cache key for the signatures of an image and its documents as each of ``names``.

    ``key`` is a digest that identifies the signing key; ``time`` is the required signing time, 0 for none.
    """
    document_digests = {
        subject: sorted(document.digest for document in descriptors)
        for subject, descriptors in documents.items()
    }
    return cache_key("signatures", root, list(names), key, document_digests, time)


def has_valid(key: Digest, home: Home) -> bool:
    """Return whether the store still has all signatures of the cache entry."""
    data = home.records.get(_KIND, key)
    if data is None:
        return False
    try:
        cached = decode_msgpack(data, _CachedSignatures)
    except msgspec.MsgspecError:  # written by another version of Pumice
        return False
    if not cached.manifests or not all(cached.manifests.values()):
        return False
    for subject, manifests in cached.manifests.items():
        if not {referrer.digest for referrer in home.referrers.get(subject)}.issuperset(manifests):
            return False
    return all(home.blobs.size(blob) is not None for blob in cached.blobs)


def put(key: Digest, manifests: Mapping[Digest, tuple[Digest, ...]], home: Home) -> None:
    """Store that these manifests, by the digest that they are about, have all signatures.

    Does nothing if a manifest cannot be read; then the next build signs again.
    """
    try:
        digests = [digest for of_subject in manifests.values() for digest in of_subject]
        blobs = tuple(dict.fromkeys(_list_blobs(digests, home)))
    except PumiceError:
        return
    home.records.put(_KIND, key, msgspec.msgpack.encode(_CachedSignatures(dict(manifests), blobs)))


def _list_blobs(manifests: Iterable[Digest], home: Home) -> Iterable[Digest]:
    for manifest_digest in manifests:
        with home.blobs.open(manifest_digest) as file:
            manifest = oci.read_manifest(file.read(oci.MAX_DOCUMENT))
        yield manifest_digest
        yield manifest.config.digest
        for layer in manifest.layers:
            yield layer.digest
