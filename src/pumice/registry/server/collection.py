"""Garbage collection that is safe while clients push.

These manifests of a repository stay: those with a tag; those with a lease younger than the grace period,
because their tag or index may still come; the children of an index that stays; and those that refer to a
subject that stays, such as signatures and SBOMs. A blob stays if a manifest that stays refers to it, or if
its lease is younger than the grace period. Content is removed when no repository has it.

Looking content up renews its lease (`LEASE_RENEWAL_SECONDS`), so a blob that a client was told to exist
stays while the client pushes the rest. Use a grace period of less than twice that time only when no client
pushes.

`pumice serve --collect` runs this on a registry that is not being served; a server runs it periodically.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import StoreError
from pumice.registry.server.manifest_references import referenced_digests, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Set

    from pumice.registry.server.storage.protocol import Storage


class CollectionResult(msgspec.Struct, frozen=True):
    """What a collection removed: numbers of manifests, blobs of repositories, contents and uploads."""

    manifests: int = 0
    links: int = 0
    blobs: int = 0
    uploads: int = 0
    freed: int = 0
    """Bytes of removed content."""
    damaged: tuple[str, ...] = ()
    """Repositories that were skipped, because a manifest or tag is damaged and may need anything."""


class _DamagedError(Exception):
    """A repository has a damaged manifest or tag; raised and caught in this module."""


class _References(msgspec.Struct, frozen=True):
    """The digests that a manifest refers to, and its subject."""

    digests: frozenset[str]
    subject: str | None


def collect(storage: Storage, now: float, grace: float) -> CollectionResult:
    """Remove everything that is not needed; ``now`` is in seconds since the epoch, ``grace`` in seconds.

    Holds the lock of one repository at a time, and none while it reads manifests for the first time.
    Raises StoreError; everything removed until then was not needed.
    """
    since = now - grace
    with storage.contents.collecting():
        manifests = links = 0
        damaged = []
        for repository in storage.repositories():
            try:
                removed_manifests, removed_links = _collect_repository(storage, repository, since)
            except _DamagedError:
                damaged.append(repository)
                continue
            manifests += removed_manifests
            links += removed_links
        blobs, freed = _collect_contents(storage)
    uploads = storage.leases.remove_uploads(since)
    return CollectionResult(manifests, links, blobs, uploads, freed, tuple(damaged))


def _collect_repository(storage: Storage, repository: str, since: float) -> tuple[int, int]:
    """Remove the manifests and blobs of a repository that nothing needs; return how many of each."""
    manifests: dict[str, _References] = {}
    _load_references(storage, repository, manifests)  # most of the work, while clients can push
    with storage.lock(repository):
        _load_references(storage, repository, manifests)
        roots = _tagged_manifests(storage, repository)
        leases = storage.leases
        roots.update(digest for digest in manifests if leases.has_manifest(repository, digest, since))
        removed_count = 0
        while unneeded := _parents_first(manifests, manifests.keys() - _reachable(manifests, roots)):
            removed = leases.remove_manifests(repository, unneeded, since)
            removed_count += len(removed)
            for digest in removed:
                del manifests[digest]
            if len(removed) < len(unneeded):  # a client looked at the next one: it stays with all it needs
                roots.add(unneeded[len(removed)])
        needed_digests = {digest for references in manifests.values() for digest in references.digests}
        blobs = [
            digest
            for digest in storage.blobs.list(repository)
            if digest not in needed_digests and not leases.has_blob(repository, digest, since)
        ]
        return removed_count, leases.remove_blobs(repository, blobs, since)


def _tagged_manifests(storage: Storage, repository: str) -> set[str]:
    try:
        digests = {storage.tags.read(repository, tag) for tag in storage.tags.list(repository) or ()}
    except StoreError as error:
        raise _DamagedError from error
    return {digest for digest in digests if digest is not None}


def _load_references(storage: Storage, repository: str, manifests: dict[str, _References]) -> None:
    """Update ``manifests`` to those that exist; manifests never change, so each is read once."""
    existing = storage.manifests.list(repository)
    for digest in manifests.keys() - set(existing):
        del manifests[digest]
    for digest in existing:
        if digest not in manifests:
            body = storage.manifests.read(repository, digest)
            algorithm, _, hex_digits = digest.partition(":")
            if hashlib.new(algorithm, body).hexdigest() != hex_digits:
                if digest in storage.manifests.list(repository):
                    raise _DamagedError
                continue  # deleted in the meantime
            manifests[digest] = _References(frozenset(referenced_digests(body)), subject_of(body))


def _reachable(manifests: Mapping[str, _References], roots: Iterable[str]) -> set[str]:
    """Return the manifests that are reached from the roots, through children and through referrers."""
    referrers: dict[str, list[str]] = {}
    for digest, references in manifests.items():
        if references.subject is not None:
            referrers.setdefault(references.subject, []).append(digest)
    reached: set[str] = set()
    pending = list(roots)
    while pending:
        digest = pending.pop()
        if digest in reached or digest not in manifests:
            continue
        reached.add(digest)
        pending.extend(manifests[digest].digests)
        pending.extend(referrers.get(digest, ()))
    return reached


def _parents_first(manifests: Mapping[str, _References], unneeded: Set[str]) -> list[str]:
    """Return manifests ordered so that each comes before what it needs, so none ever lacks a part."""
    predecessors: dict[str, int] = dict.fromkeys(unneeded, 0)
    successors: dict[str, list[str]] = {
        digest: list(manifests[digest].digests & unneeded) for digest in unneeded
    }
    for digest in unneeded:
        if (subject := manifests[digest].subject) in unneeded and subject is not None:
            successors[subject].append(digest)
    for following in successors.values():
        for digest in following:
            predecessors[digest] += 1
    ordered = sorted(digest for digest, count in predecessors.items() if not count)
    for digest in ordered:  # the list grows in this loop
        for successor in successors[digest]:
            predecessors[successor] -= 1
            if not predecessors[successor]:
                ordered.append(successor)
    return ordered


def _collect_contents(storage: Storage) -> tuple[int, int]:
    """Remove the content that no repository has; return the number of contents and their bytes."""
    used_digests: set[bytes] = set()
    for repository in storage.repositories():
        used_digests.update(_compact(digest) for digest in storage.blobs.list(repository))
    removed = freed = 0
    for digest in storage.contents.list():
        if _compact(digest) not in used_digests:
            freed += storage.contents.remove(digest)
            removed += 1
    return removed, freed


def _compact(digest: str) -> bytes:
    """Return a digest in half the memory; the two algorithms differ in length."""
    return bytes.fromhex(digest.partition(":")[2])
