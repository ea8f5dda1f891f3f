"""Garbage collection, safe while others push.

What lives in a repository: manifests with a tag; manifests younger than the grace period, because their
tag or index may still come; what indexes that live list; and what refers to a subject that lives (signatures,
SBOMs). Blobs live if a manifest that lives names them, or if they are younger than the grace period. Being
looked at makes a file young again (`storage_blobs.REFRESH`), so what a client was told to be there stays
while it pushes the rest. Content goes when no repository has it.

`pumice serve --collect` runs this on a registry that nobody serves; a server runs it now and then. A grace
period of less than two `REFRESH` is only for when nobody pushes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import StoreError
from pumice.registry.server import storage_names as names
from pumice.registry.server.storage_disk import told
from pumice.registry.server.storage_manifests import listed, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pumice.registry.server.storage import Storage


class Collected(msgspec.Struct, frozen=True):
    """What a collection removed: how many manifests, links of blobs, contents and uploads; bytes freed."""

    manifests: int = 0
    links: int = 0
    blobs: int = 0
    uploads: int = 0
    freed: int = 0


class _References(msgspec.Struct, frozen=True):
    """What a manifest names, and what it is about."""

    names: frozenset[str]
    subject: str | None


def collect(storage: Storage, now: float, grace: float) -> Collected:
    """Remove what nothing needs any more; ``now`` and file times are seconds since the epoch.

    Holds the lock of one repository at a time, and none while it reads manifests for the first time.
    Raises StoreError; what was removed by then was not needed.
    """
    young = now - grace
    storage.blobs.watch()
    try:
        manifests = links = uploads = 0
        for repository in storage.repositories():
            with told(repository):
                uploads += storage.uploads.expire(repository, young)
                removed = _sweep(storage, repository, young)
            manifests += removed[0]
            links += removed[1]
        blobs, freed = _contents(storage)
    finally:
        storage.blobs.unwatch()
    return Collected(manifests, links, blobs, uploads, freed)


def _sweep(storage: Storage, repository: str, young: float) -> tuple[int, int]:
    """Remove the manifests and links of one repository that nothing needs; return how many of each."""
    known: dict[str, _References] = {}
    _read(storage, repository, known)  # most of the work, while others can push
    with storage.manifests.lock(repository):
        _read(storage, repository, known)
        roots = {tag_of(storage, repository, tag) for tag in storage.tags(repository) or ()}
        folder = names.folder(storage.root, repository, names.MANIFESTS)
        roots.update(digest for digest in known if _is_young(folder, digest, young))
        living = _living(known, roots)
        gone = storage.manifests.remove(repository, sorted(known.keys() - living))
        needed = {digest for manifest in living for digest in known[manifest].names}
        folder = names.folder(storage.root, repository, names.BLOBS)
        dead = [d for d in listed(folder) if d not in needed and not _is_young(folder, d, young)]
        return gone, storage.blobs.unlink(repository, dead)


def tag_of(storage: Storage, repository: str, tag: str) -> str | None:
    """Return what a tag points to; a damaged tag is for `check` to report."""
    try:
        return storage.manifests.tagged(repository, tag)
    except StoreError:
        return None


def _read(storage: Storage, repository: str, known: dict[str, _References]) -> None:
    """Make ``known`` what there is; manifests never change, so each is read once."""
    present = storage.manifests.digests(repository)
    for digest in known.keys() - set(present):
        del known[digest]
    for digest in present:
        if digest not in known:
            body = storage.manifests.body(repository, digest)
            known[digest] = _References(frozenset(mentioned(body)), subject_of(body))


def _living(known: Mapping[str, _References], roots: Iterable[str | None]) -> set[str]:
    """Return the manifests that are reached from the roots, down to children and up to referrers."""
    about: dict[str, list[str]] = {}
    for digest, references in known.items():
        if references.subject is not None:
            about.setdefault(references.subject, []).append(digest)
    living: set[str] = set()
    open_ends = [root for root in roots if root is not None]
    while open_ends:
        digest = open_ends.pop()
        if digest in living or digest not in known:
            continue
        living.add(digest)
        open_ends.extend(known[digest].names)
        open_ends.extend(about.get(digest, ()))
    return living


def mentioned(body: bytes) -> Iterator[str]:
    """Yield every digest that a document of any kind names, except its subject: rather too many than too few.

    Knows nothing of media types, so what unknown kinds of manifests need is kept as well (``digest`` of a
    descriptor wherever it stands, ``blobSum`` of Docker's schema 1).
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return
    if isinstance(document, dict):
        document.pop("subject", None)
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, dict):
            for key in ("digest", "blobSum"):
                if isinstance(digest := value.get(key), str) and names.is_digest(digest):
                    yield digest
            waiting.extend(value.values())


def _contents(storage: Storage) -> tuple[int, int]:
    """Remove the content that no repository has; return how much of it, and its bytes."""
    kept: set[bytes] = set()
    for repository in storage.repositories():
        folder = names.folder(storage.root, repository, names.BLOBS)
        kept.update(_short(digest) for digest in listed(folder))
    removed = freed = 0
    for digest in contents(storage.root):
        if _short(digest) not in kept and (size := _remove(storage, digest)) is not None:
            removed += 1
            freed += size
    return removed, freed


def _remove(storage: Storage, digest: str) -> int | None:
    with told(digest):
        return storage.blobs.remove(digest)


def contents(root: str) -> Iterator[str]:
    """Yield the digest of every content, whoever has it, in order."""
    for algorithm in names.ALGORITHMS:
        folder = os.path.join(root, "blobs", algorithm)
        for prefix in _list(folder):
            for name in _list(os.path.join(folder, prefix)):
                if names.is_digest(digest := f"{algorithm}:{name}"):
                    yield digest


def _list(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _short(digest: str) -> bytes:
    """Return a digest in half the memory; the two algorithms differ in length."""
    return bytes.fromhex(digest.partition(":")[2])


def _is_young(folder: str, digest: str, since: float) -> bool:
    try:
        return os.stat(os.path.join(folder, names.file_of(digest))).st_mtime >= since
    except OSError:
        return False
