"""Signatures that stand: remembered, so that a build of which nothing changed opens no key and checks none.

A record says by which manifests a key has signed an image and its documents. It counts only as long as
the store lists each of them about that image and has every blob of it, unchanged: their content is
their digest, so what was a good signature still is one. Whatever else is the case is found out anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import canonical
from pumice.errors import PumiceError
from pumice.formats import oci

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.store.home import Home

_KIND = "signed"
_VERSION = 1
"""Of what is signed; to be raised when signing writes more or something else than before."""


class _CachedSignatures(msgspec.Struct, frozen=True):
    """Manifests by what they are about, and the blobs that all of them consist of."""

    manifests: dict[str, tuple[str, ...]]
    blobs: tuple[str, ...]


def compute_key(
    root: Digest,
    names: Sequence[str],
    key: Digest,
    documents: Mapping[Digest, Sequence[Descriptor]],
    time: int = 0,
) -> Digest:
    """Return where it is remembered that ``key`` signed an image as each of ``names`` with its documents.

    ``key`` is any digest that stands for one key; ``time`` is the one that was required, 0 for none.
    """
    document_digests = {about: sorted(one.digest for one in found) for about, found in documents.items()}
    return canonical.digest_of(
        [_KIND, _VERSION, root, list(names), key, document_digests, *([time] if time else [])]
    )


def has_valid(key: Digest, home: Home) -> bool:
    """Say whether all that is remembered at ``where`` is still in the store as it was."""
    data = home.records.get(_KIND, key)
    if data is None:
        return False
    try:
        cached = msgspec.msgpack.decode(data, type=_CachedSignatures)
    except msgspec.MsgspecError:  # written by another version of Pumice: as good as nothing
        return False
    if not cached.manifests or not all(cached.manifests.values()):
        return False
    for subject, manifests in cached.manifests.items():
        if not {one.digest for one in home.referrers.get(subject)}.issuperset(manifests):
            return False
    return all(home.blobs.size(one) is not None for one in cached.blobs)


def put(key: Digest, manifests: Mapping[Digest, tuple[Digest, ...]], home: Home) -> None:
    """Remember that these manifests hold all that was to be signed; they are in the store.

    Does nothing if they cannot be read: then the next build looks again.
    """
    try:
        blobs = tuple(dict.fromkeys(_list_blobs((one for some in manifests.values() for one in some), home)))
    except PumiceError:
        return
    home.records.put(_KIND, key, msgspec.msgpack.encode(_CachedSignatures(dict(manifests), blobs)))


def _list_blobs(manifests: Iterable[Digest], home: Home) -> Iterable[Digest]:
    for one in manifests:
        with home.blobs.open(one) as file:
            manifest = oci.read_manifest(file.read(oci.MAX_DOCUMENT))
        yield one
        yield manifest.config.digest
        for layer in manifest.layers:
            yield layer.digest
