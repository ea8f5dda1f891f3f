"""Freeing the space of what nothing needs: mark from the references, sweep the rest.

Works alone: everybody else who uses the store holds its lock shared (`Home.alone`). So what is in
``tmp`` belongs to nobody, and no blob is on its way to becoming referenced. Killed at any point it
leaves a store that is as good as before.
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
from pumice.store.reachability import reachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from pumice.clock import Clock
    from pumice.digest import Digest
    from pumice.store.home import Home
    from pumice.store.records import Record

KEEP_CACHE = 30
"""Days for which what no image needs is kept after its last use, unless said otherwise."""

_DAY = 86_400
_LEFTOVER = re.compile(r"\..+\.[0-9]+-[0-9a-f]{16}")
"""What `files.replace` names the file that a killed process did not rename any more."""


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection removed (or would): counts, and ``freed`` in bytes.

    ``cache`` is the bytes that are still kept although no image needs them.
    """

    blobs: int
    records: int
    freed: int
    cache: int
    wanted: frozenset[Digest]
    """Everything that images consist of."""


def collect(
    home: Home, clock: Clock, *, keep_days: int | None = KEEP_CACHE, dry_run: bool = False
) -> Collected:
    """Remove what no image needs and nobody used for ``keep_days``; None keeps no cache at all.

    Always kept: what references lead to. Kept while young: records with the blobs they keep, and
    other blobs. Waits for other users of the store. Raises StoreError, and removes nothing then,
    if a reference is damaged: what it needs is not known.
    """
    with home.alone():
        wanted = _wanted(home)
        # The clock tells whole seconds: 0 days means everything, also what is of this very second.
        cutoff = float("inf") if keep_days is None else clock.now() + 1 - keep_days * _DAY
        old, kept = _judge_records(home, wanted, cutoff, drop_all=keep_days is None)
        doomed, cache = _judge_blobs(home, wanted, kept, cutoff)
        freed = sum(record.size for record in old) + sum(doomed.values())
        leftovers = list(_leftovers(str(home.root)))
        freed += sum(_disk_size(path) for path in leftovers)
        if not dry_run:
            _sweep(home, old, doomed, leftovers)
    present = frozenset(digest for digest, there in wanted.items() if there)
    return Collected(blobs=len(doomed), records=len(old), freed=freed, cache=cache, wanted=present)


def _wanted(home: Home) -> dict[Digest, bool]:
    """Return all that references lead to, and what is about any of that, and about that in turn."""
    found = reachable(home.refs.all().values(), home.blobs)
    about = {subject: home.referrers.get(subject) for subject in home.referrers.subjects()}
    while fresh := [one for subject in about.keys() & found.keys() for one in about.pop(subject)]:
        for digest, there in reachable(fresh, home.blobs).items():
            found.setdefault(digest, there)
    return found


def _judge_records(
    home: Home, wanted: dict[Digest, bool], cutoff: float, *, drop_all: bool
) -> tuple[list[Record], set[Digest]]:
    """Return the records to remove, and the blobs that the others keep."""
    old: list[Record] = []
    kept: set[Digest] = set()
    for record in home.records.all():
        is_needed = not drop_all and any(digest in wanted for digest in record.keeps)
        if record.used >= cutoff or is_needed:
            for digest in record.keeps:
                kept.add(digest)
                whole = home.blobs.parts(digest)
                kept.update(whole.parts if whole else ())
        else:
            old.append(record)
    return old, kept


def _judge_blobs(
    home: Home, wanted: dict[Digest, bool], kept: set[Digest], cutoff: float
) -> tuple[dict[Digest, int], int]:
    """Return the blobs to remove with their sizes on disk, and the size of what stays as cache."""
    doomed: dict[Digest, int] = {}
    cache = 0
    for digest in home.blobs.digests():
        if digest in wanted:
            continue
        size = home.blobs.stored_size(digest)
        if digest in kept or home.blobs.changed(digest) >= cutoff:
            cache += size
        else:
            doomed[digest] = size
    return doomed, cache


def _sweep(home: Home, old: list[Record], doomed: dict[Digest, int], leftovers: list[str]) -> None:
    for record in old:
        with translate_os_errors(record.path):
            home.fs.unlink(record.path)
    for digest in doomed:
        home.blobs.delete(digest)
        home.built.forget(digest)
    for subject in home.referrers.subjects():
        if home.blobs.size(subject) is None:
            home.referrers.forget(subject)
    for path in leftovers:
        remove_tree(path)
    home.blobs.rewrite_trust()


def _leftovers(root: str) -> Iterator[str]:
    """Yield what killed processes left: all of ``tmp`` that nobody has locked, and unrenamed files."""
    for entry in _entries(os.path.join(root, "tmp")):
        if not (entry.is_dir(follow_symlinks=False) and files.is_locked(entry.path)):
            yield entry.path
    for entry in _entries(os.path.join(root, "locks")):
        if entry.name != "gc":
            yield entry.path
    for entry in _entries(root):
        if _LEFTOVER.fullmatch(entry.name):
            yield entry.path
        elif entry.is_dir(follow_symlinks=False) and entry.name not in ("tmp", "locks", "trees"):
            yield from (inner.path for inner in _entries(entry.path) if _LEFTOVER.fullmatch(inner.name))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []


def _disk_size(path: str) -> int:
    try:
        status = os.lstat(path)
    except OSError:
        return 0
    if not stat.S_ISDIR(status.st_mode):
        return status.st_size
    return sum(_disk_size(entry.path) for entry in _entries(path))


def remove_tree(path: str) -> None:
    """Remove a file or folder, also folders that their modes forbid to change; links are not followed.

    What cannot be removed stays for the next time.
    """
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, onerror=_insist)
    else:
        files.forget(path)


def _insist(function: Callable[..., Any], path: str, _error: object) -> None:
    """Make the folder writable and try once more."""
    try:
        os.chmod(os.path.dirname(path), 0o700)
        if not os.path.islink(path) and os.path.isdir(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            function(path)
    except OSError:
        pass
