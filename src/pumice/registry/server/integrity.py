"""The integrity check: reads and hashes everything that a registry has, and changes nothing.

`pumice serve --check` runs it on a registry that is not being served. It may also run next to a server:
anything that changes meanwhile is checked twice before it is reported.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from pumice.decoding import decode_json
from pumice.errors import StoreError
from pumice.registry.server.manifest_references import referenced_digests, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.registry.server.storage.protocol import Storage


class Finding(msgspec.Struct, frozen=True):
    """A problem: where it is, and one sentence about it."""

    where: str
    message: str


class CheckResult(msgspec.Struct, frozen=True):
    """What was checked, and what was found.

    ``damaged`` are errors. ``incomplete`` are manifests whose content is not all there, which is an error
    only if it was not deleted, or left out, on purpose.
    """

    repositories: int
    manifests: int
    blobs: int
    size: int
    damaged: tuple[Finding, ...] = ()
    incomplete: tuple[Finding, ...] = ()


def check(storage: Storage) -> CheckResult:
    """Check that content matches its digests, that tags and blobs exist, and that referrers are listed."""
    damaged: list[Finding] = []
    incomplete: list[Finding] = []
    blobs = size = manifests = 0
    for digest in storage.contents.list():
        blobs += 1
        try:
            size += _check_content(storage, digest)
        except StoreError as error:
            damaged.append(Finding(digest, error.message))
    repositories = storage.repositories()
    for repository in repositories:
        damaged.extend(_confirm(_find_damage, storage, repository))
        incomplete.extend(_confirm(_find_incomplete, storage, repository))
        manifests += len(storage.manifests.list(repository))
    return CheckResult(len(repositories), manifests, blobs, size, tuple(damaged), tuple(incomplete))


def _confirm(
    find: Callable[[Storage, str], Iterator[Finding]], storage: Storage, repository: str
) -> list[Finding]:
    """Return the findings of two runs in a row: what was only in progress the first time is not one."""
    findings = list(find(storage, repository))
    if not findings:
        return []
    confirmed = set(find(storage, repository))
    return [finding for finding in findings if finding in confirmed]


def _check_content(storage: Storage, digest: str) -> int:
    """Return the size of content that matches its digest; raises StoreError."""
    chunks = storage.contents.read(digest)
    if chunks is None:
        return 0  # collected in the meantime
    algorithm, _, hex_digits = digest.partition(":")
    hasher = hashlib.new(algorithm)
    size = 0
    for chunk in chunks:
        hasher.update(chunk)
        size += len(chunk)
    if hasher.hexdigest() != hex_digits:
        raise StoreError("the content has another digest")
    return size


def _find_damage(storage: Storage, repository: str) -> Iterator[Finding]:
    for digest in storage.blobs.list(repository):
        if storage.contents.size(digest) is None:
            yield Finding(f"{repository}@{digest}", "the content of this blob is missing")
    manifests = set(storage.manifests.list(repository))
    referrers: dict[str, set[str]] = {}
    for digest in sorted(manifests):
        yield from _check_manifest(storage, repository, digest, referrers)
    for tag in storage.tags.list(repository) or ():
        where = f"{repository}:{tag}"
        try:
            target = storage.tags.read(repository, tag)
        except StoreError as error:
            yield Finding(where, error.message)
            continue
        if target is not None and target not in manifests:
            yield Finding(where, f"the tag points to {target}, which does not exist")


def _check_manifest(
    storage: Storage, repository: str, digest: str, referrers: dict[str, set[str]]
) -> Iterator[Finding]:
    """Yield what is wrong with a manifest; ``referrers`` collects the lists of all subjects."""
    where = f"{repository}@{digest}"
    try:
        body = storage.manifests.read(repository, digest)
    except StoreError as error:
        yield Finding(where, error.message)
        return
    algorithm, _, hex_digits = digest.partition(":")
    if hashlib.new(algorithm, body).hexdigest() != hex_digits:
        yield Finding(where, "the manifest has another digest")
        return
    subject = subject_of(body)
    if subject is None:
        return
    if subject not in referrers:
        referrers[subject] = _listed_digests(storage.referrers.list(repository, subject))
    if digest not in referrers[subject]:
        yield Finding(where, f"the manifest is not in the list of referrers of its subject {subject}")


class _Descriptor(msgspec.Struct):
    digest: str


def _listed_digests(descriptors: Sequence[bytes]) -> set[str]:
    """Return the digests in a list of referrers; malformed descriptors have none."""
    digests = set()
    for descriptor in descriptors:
        with suppress(msgspec.MsgspecError):
            digests.add(decode_json(descriptor, _Descriptor).digest)
    return digests


def _find_incomplete(storage: Storage, repository: str) -> Iterator[Finding]:
    manifests = set(storage.manifests.list(repository))
    existing = manifests.union(storage.blobs.list(repository))
    for digest in sorted(manifests):
        body = storage.manifests.read(repository, digest)
        missing = sorted(set(referenced_digests(body)) - existing)
        if missing:
            suffix = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            message = f"the manifest refers to {missing[0]}{suffix}, which this repository does not have"
            yield Finding(f"{repository}@{digest}", message)
