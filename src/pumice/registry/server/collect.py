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

import hashlib
import os
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import StoreError
from pumice.os_errors import translate_os_errors
from pumice.registry.server.storage.disk import paths as names
from pumice.registry.server.storage.disk.filesystem import REGISTRY
from pumice.registry.server.storage.disk.manifests import listed, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Set

    from pumice.registry.server.storage.disk.storage import Storage


class Collected(msgspec.Struct, frozen=True):
    """What a collection removed: how many manifests, links of blobs, contents and uploads; bytes freed."""

    manifests: int = 0
    links: int = 0
    blobs: int = 0
    uploads: int = 0
    freed: int = 0
    damaged: tuple[str, ...] = ()
    """Repositories that were left alone: a manifest or tag of theirs cannot say what it needs (`check`)."""


class _Damaged(Exception):  # noqa: N818 - never seen outside of this file
    """A repository has a manifest or tag that cannot be believed."""


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
        manifests = links = 0
        damaged = []
        for repository in storage.repositories():
            try:
                with translate_os_errors(repository, REGISTRY):
                    removed = _sweep(storage, repository, young)
            except _Damaged:
                damaged.append(repository)
                continue
            manifests += removed[0]
            links += removed[1]
        blobs, freed = _contents(storage)
    finally:
        storage.blobs.unwatch()
    uploads = sum(storage.uploads.expire(repository, young) for repository in storage.receiving())
    return Collected(manifests, links, blobs, uploads, freed, tuple(damaged))


def _sweep(storage: Storage, repository: str, young: float) -> tuple[int, int]:
    """Remove the manifests and links of one repository that nothing needs; return how many of each."""
    known: dict[str, _References] = {}
    _read(storage, repository, known)  # most of the work, while others can push
    with storage.manifests.lock(repository):
        _read(storage, repository, known)
        roots = _tagged(storage, repository)
        folder = names.folder(storage.root, repository, names.MANIFESTS)
        roots.update(digest for digest in known if _is_young(folder, digest, young))
        gone = 0
        while dead := _in_order(known, known.keys() - _living(known, roots)):
            removed = storage.manifests.remove(repository, dead, young)
            gone += len(removed)
            for digest in removed:
                del known[digest]
            if len(removed) < len(dead):  # somebody looked at one: it is young, with all that it needs
                roots.add(dead[len(removed)])
        needed = {digest for manifest in known.values() for digest in manifest.names}
        folder = names.folder(storage.root, repository, names.BLOBS)
        links = [d for d in listed(folder) if d not in needed and not _is_young(folder, d, young)]
        return gone, storage.blobs.remove_links(repository, links, young)


def _tagged(storage: Storage, repository: str) -> set[str]:
    try:
        found = {storage.manifests.tagged(repository, tag) for tag in storage.tags(repository) or ()}
    except StoreError as error:
        raise _Damaged from error
    return {digest for digest in found if digest is not None}


def _read(storage: Storage, repository: str, known: dict[str, _References]) -> None:
    """Make ``known`` what there is; manifests never change, so each is read once."""
    present = storage.manifests.digests(repository)
    for digest in known.keys() - set(present):
        del known[digest]
    for digest in present:
        if digest not in known:
            body = storage.manifests.body(repository, digest)
            algorithm, _, hex_digits = digest.partition(":")
            if hashlib.new(algorithm, body).hexdigest() != hex_digits:
                if digest in storage.manifests.digests(repository):
                    raise _Damaged
                continue  # deleted meanwhile
            known[digest] = _References(frozenset(mentioned(body)), subject_of(body))


def _living(known: Mapping[str, _References], roots: Iterable[str]) -> set[str]:
    """Return the manifests that are reached from the roots, down to children and up to referrers."""
    about: dict[str, list[str]] = {}
    for digest, references in known.items():
        if references.subject is not None:
            about.setdefault(references.subject, []).append(digest)
    living: set[str] = set()
    open_ends = list(roots)
    while open_ends:
        digest = open_ends.pop()
        if digest in living or digest not in known:
            continue
        living.add(digest)
        open_ends.extend(known[digest].names)
        open_ends.extend(about.get(digest, ()))
    return living


def _in_order(known: Mapping[str, _References], dead: Set[str]) -> list[str]:
    """Return manifests so that what needs another comes before it: so none is ever left without a part."""
    waits: dict[str, int] = dict.fromkeys(dead, 0)
    after: dict[str, list[str]] = {digest: list(known[digest].names & dead) for digest in dead}
    for digest in dead:
        if (subject := known[digest].subject) in dead and subject is not None:
            after[subject].append(digest)
    for followers in after.values():
        for digest in followers:
            waits[digest] += 1
    ordered = sorted(digest for digest, count in waits.items() if not count)
    for digest in ordered:  # grows meanwhile
        for follower in after[digest]:
            waits[follower] -= 1
            if not waits[follower]:
                ordered.append(follower)
    return ordered


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
    with translate_os_errors(digest, REGISTRY):
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
