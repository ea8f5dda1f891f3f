"""The integrity check: reads and hashes everything that a registry keeps.

`pumice serve --check` runs it on a registry that nobody serves. It may run beside a server too: what
changes meanwhile is looked at twice before it is called a problem. It changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import StoreError
from pumice.registry.server.collect import contents, mentioned
from pumice.registry.server.storage.disk import paths as names
from pumice.registry.server.storage.disk.manifests import listed, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.registry.server.storage.disk.storage import Storage

_CHUNK = 1 << 20


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be: where, and one sentence about it."""

    where: str
    message: str


class Checked(msgspec.Struct, frozen=True):
    """What was looked at, and what was found.

    ``problems`` are damage. ``incomplete`` are manifests whose content is not all there, which is damage
    only if it was not deleted, or left out, on purpose.
    """

    repositories: int
    manifests: int
    blobs: int
    size: int
    problems: tuple[Finding, ...] = ()
    incomplete: tuple[Finding, ...] = ()


def check(storage: Storage) -> Checked:
    """Check that content fits its digests, that tags and links lead somewhere, that referrers are listed."""
    problems: list[Finding] = []
    incomplete: list[Finding] = []
    blobs = size = manifests = 0
    for digest in contents(storage.root):
        found = _content(names.blob(storage.root, digest), digest)
        blobs += 1
        if isinstance(found, int):
            size += found
        else:
            problems.append(Finding(digest, found))
    repositories = storage.repositories()
    for repository in repositories:
        problems.extend(_twice(_repository, storage, repository))
        incomplete.extend(_twice(_incomplete, storage, repository))
        manifests += len(storage.manifests.digests(repository))
    return Checked(len(repositories), manifests, blobs, size, tuple(problems), tuple(incomplete))


def _twice(
    look: Callable[[Storage, str], Iterator[Finding]], storage: Storage, repository: str
) -> list[Finding]:
    """Return what is found both times: what was only under way the first time is no problem."""
    first = list(look(storage, repository))
    if not first:
        return []
    second = set(look(storage, repository))
    return [finding for finding in first if finding in second]


def _content(path: str, digest: str) -> int | str:
    algorithm, _, hex_digits = digest.partition(":")
    hasher = hashlib.new(algorithm)
    size = 0
    try:
        with open(path, "rb", buffering=0) as file:
            while data := file.read(_CHUNK):
                hasher.update(data)
                size += len(data)
    except FileNotFoundError:
        return 0  # collected meanwhile
    except OSError as error:
        return f"the content cannot be read: {error.strerror}"
    return size if hasher.hexdigest() == hex_digits else "the content has another digest"


def _repository(storage: Storage, repository: str) -> Iterator[Finding]:
    folder = names.folder(storage.root, repository, names.BLOBS)
    for digest in listed(folder):
        if not os.path.exists(names.blob(storage.root, digest)):
            yield Finding(f"{repository}@{digest}", "the repository has this blob, but its content is gone")
    manifests = set(storage.manifests.digests(repository))
    for digest in sorted(manifests):
        yield from _manifest(storage, repository, digest)
    for tag in storage.tags(repository) or ():
        where = f"{repository}:{tag}"
        try:
            target = storage.manifests.tagged(repository, tag)
        except StoreError as error:
            yield Finding(where, error.message)
            continue
        if target is not None and target not in manifests:
            yield Finding(where, f"the tag points to {target}, which is not there")


def _manifest(storage: Storage, repository: str, digest: str) -> Iterator[Finding]:
    where = f"{repository}@{digest}"
    try:
        body = storage.manifests.body(repository, digest)
    except StoreError as error:
        yield Finding(where, error.message)
        return
    algorithm, _, hex_digits = digest.partition(":")
    if hashlib.new(algorithm, body).hexdigest() != hex_digits:
        yield Finding(where, "the manifest has another digest")
        return
    subject = subject_of(body)
    if subject is not None and not storage.manifests.lists(repository, subject, digest):
        yield Finding(where, f"the manifest is about {subject}, but is not among its referrers")


def _incomplete(storage: Storage, repository: str) -> Iterator[Finding]:
    manifests = set(storage.manifests.digests(repository))
    there = manifests.union(listed(names.folder(storage.root, repository, names.BLOBS)))
    for digest in sorted(manifests):
        missing = sorted(set(mentioned(storage.manifests.body(repository, digest))) - there)
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            message = f"the manifest names {missing[0]}{others}, which this repository does not have"
            yield Finding(f"{repository}@{digest}", message)
