"""Garbage collection: mark what is reachable from the references, sweep the rest.

The collector holds the store's lock exclusively; all other users share it (`Home.lock_exclusively`). So
nothing in ``tmp`` is in use, and no blob is about to be referenced. A collection that is killed at any
point leaves an intact store.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.os_errors import translate_os_errors
from pumice.store.reachability import find_reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pumice.clock import Clock
    from pumice.digest import Digest
    from pumice.store.home import Home
    from pumice.store.records import Record

KEEP_CACHE = 30
"""The default number of days to keep unneeded data after its last use."""

_DAY = 86_400
_LEFTOVER = re.compile(r"\..+\.[0-9]+-[0-9a-f]{16}")
"""The name of the temporary file that a killed `files.replace` leaves."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection removed or, in a dry run, would remove: counts, and ``freed`` in bytes.

    ``cache`` is the size in bytes of what is kept although no image needs it.
    """

    blobs: int
    records: int
    freed: int
    cache: int
    image_blobs: frozenset[Digest]
    """The blobs that images consist of."""


def collect(
    home: Home, clock: Clock, *, keep_days: int | None = KEEP_CACHE, dry_run: bool = False
) -> Collected:
    """Remove what no image needs and no command has used for ``keep_days``; None keeps no cache.

    What references lead to is always kept. Records with their blobs, and other blobs, are kept while
    they are young. Waits for other users of the store. Raises StoreError and removes nothing if a
    reference is damaged, because its dependencies are unknown.
    """
    with home.lock_exclusively():
        needed_blobs = _find_needed_blobs(home)
        # The clock has whole seconds: 0 days includes what was written in the current second.
        cutoff = float("inf") if keep_days is None else clock.now() + 1 - keep_days * _DAY
        stale_records, cached_blobs = _select_stale_records(
            home, needed_blobs, cutoff, drop_all=keep_days is None
        )
        unneeded_blobs, cache_size = _select_unneeded_blobs(home, needed_blobs, cached_blobs, cutoff)
        freed_size = sum(record.size for record in stale_records) + sum(unneeded_blobs.values())
        leftovers = [*_find_leftovers(str(home.root)), *_find_old_filters(str(home.root), cutoff)]
        freed_size += sum(_measure_disk_size(path) for path in leftovers)
        if not dry_run:
            _sweep(home, stale_records, unneeded_blobs, leftovers)
    image_blobs = frozenset(digest for digest, is_present in needed_blobs.items() if is_present)
    return Collected(
        blobs=len(unneeded_blobs),
        records=len(stale_records),
        freed=freed_size,
        cache=cache_size,
        image_blobs=image_blobs,
    )


def _find_needed_blobs(home: Home) -> dict[Digest, bool]:
    """Return all blobs that references lead to, with their referrers, recursively."""
    needed_blobs = find_reachable(home.refs.all().values(), home.blobs)
    referrers = {subject: home.referrers.get(subject) for subject in home.referrers.subjects()}
    while new_referrers := [
        referrer for subject in referrers.keys() & needed_blobs.keys() for referrer in referrers.pop(subject)
    ]:
        for digest, is_present in find_reachable(new_referrers, home.blobs).items():
            needed_blobs.setdefault(digest, is_present)
    return needed_blobs


def _select_stale_records(
    home: Home, needed_blobs: dict[Digest, bool], cutoff: float, *, drop_all: bool
) -> tuple[list[Record], set[Digest]]:
    """Return the records to remove, and the blobs that the other records keep."""
    stale_records: list[Record] = []
    cached_blobs: set[Digest] = set()
    for record in home.records.all():
        is_needed = not drop_all and any(digest in needed_blobs for digest in record.kept_blobs)
        if record.last_used >= cutoff or is_needed:
            for digest in record.kept_blobs:
                cached_blobs.add(digest)
                composition = home.blobs.composition(digest)
                cached_blobs.update(composition.parts if composition else ())
        else:
            stale_records.append(record)
    return stale_records, cached_blobs


def _select_unneeded_blobs(
    home: Home, needed_blobs: dict[Digest, bool], cached_blobs: set[Digest], cutoff: float
) -> tuple[dict[Digest, int], int]:
    """Return the blobs to remove with their sizes on disk, and the size of what stays cached."""
    unneeded_blobs: dict[Digest, int] = {}
    cache_size = 0
    for digest in home.blobs.digests():
        if digest in needed_blobs:
            continue
        size = home.blobs.stored_size(digest)
        if digest in cached_blobs or home.blobs.modified_at(digest) >= cutoff:
            cache_size += size
        else:
            unneeded_blobs[digest] = size
    return unneeded_blobs, cache_size


def _sweep(
    home: Home, stale_records: list[Record], unneeded_blobs: dict[Digest, int], leftovers: list[str]
) -> None:
    for record in stale_records:
        with translate_os_errors(record.path):
            home.fs.unlink(record.path)
    for digest in unneeded_blobs:
        home.blobs.delete(digest)
        home.build_marks.forget(digest)
        home.archive_marks.forget(digest)
    for subject in home.referrers.subjects():
        if home.blobs.size(subject) is None:
            home.referrers.forget(subject)
    for path in leftovers:
        remove_tree(path)
    home.blobs.compact_stat_cache()


def _find_leftovers(root: str) -> Iterator[str]:
    """Yield the leftovers of killed processes: unlocked entries of ``tmp``, and temporary files."""
    for entry in _list_directory(os.path.join(root, "tmp")):
        if not (entry.is_dir(follow_symlinks=False) and files.is_locked(entry.path)):
            yield entry.path
    for entry in _list_directory(os.path.join(root, "locks")):
        if entry.name != "gc":
            yield entry.path
    for entry in _list_directory(root):
        if _LEFTOVER.fullmatch(entry.name):
            yield entry.path
        elif entry.is_dir(follow_symlinks=False) and entry.name not in ("tmp", "locks", "trees", "pods"):
            yield from (file.path for file in _list_directory(entry.path) if _LEFTOVER.fullmatch(file.name))


def _find_old_filters(root: str, cutoff: float) -> Iterator[str]:
    """Yield the compiled system call filters from before ``cutoff``; a run compiles what it needs again."""
    for entry in _list_directory(os.path.join(root, "seccomp")):
        try:
            is_old = entry.stat(follow_symlinks=False).st_mtime < cutoff
        except OSError:
            continue
        if is_old and not _LEFTOVER.fullmatch(entry.name):
            yield entry.path


def _list_directory(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def _measure_disk_size(path: str) -> int:
    try:
        status = os.lstat(path)
    except OSError:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size
    return sum(_measure_disk_size(entry.path) for entry in _list_directory(path))


def remove_tree(path: str) -> None:
    """Remove a file or directory tree, including read-only directories; links are not followed.

    What cannot be removed stays until the next collection.
    """
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, onerror=_make_writable_and_retry)
    else:
        files.unlink_quietly(path)


def _make_writable_and_retry(function: Callable[..., Any], path: str, _error: object) -> None:
    """Make the directory writable and try once more."""
    try:
        os.chmod(os.path.dirname(path), 0o700)
        if not os.path.islink(path) and os.path.isdir(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            function(path)
    except OSError:
        pass
