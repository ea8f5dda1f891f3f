"""Verify a store: read everything again, to find what the disk lost or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.errors import StoreError
from pumice.store.reachability import find_reachable
from pumice.terminal import format_count

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.progress import Progress
    from pumice.store.home import Home


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The result of verifying a store; all lists are sorted."""

    blobs: int
    """The number of blobs that were read."""
    damaged: tuple[Digest, ...] = ()
    references: tuple[str, ...] = ()
    """The names of damaged references."""
    incomplete: dict[str, tuple[Digest, ...]] = {}
    """Names with the blobs that they lack, or will lack once damaged blobs are removed."""
    records: int = 0
    """The number of damaged records, which are harmless because they count as missing."""

    def is_sound(self) -> bool:
        """Return whether the store is intact."""
        return not (self.damaged or self.references or self.incomplete)


def verify(home: Home, progress: Progress, *, repair: bool = False) -> Findings:
    """Hash every blob, ignoring the stat cache, and follow every reference.

    ``repair`` removes damaged blobs, records and references, so that the next build makes or
    fetches them again. Raises StoreError.
    """
    digests = list(home.blobs.digests())
    total = sum(home.blobs.stored_size(digest) for digest in digests)
    intact_sizes: dict[Digest, int | None] = {}
    with progress.task(f"verifying {format_count(len(digests), 'blob')}", total) as task:
        for digest in digests:
            if home.blobs.verify(digest):
                intact_sizes[digest] = home.blobs.size(digest)
            task.advance(home.blobs.stored_size(digest))
    failed_digests = [digest for digest in digests if digest not in intact_sizes]
    damaged = [digest for digest in failed_digests if not _lacks_parts(digest, home, intact_sizes)]
    damaged_references, incomplete = _check_references(home, intact_sizes)
    damaged_records = [record.path for record in home.records.all() if not record.size]
    if repair:
        for digest in failed_digests:
            home.blobs.delete_unless_intact(digest)
        for name in damaged_references:
            home.refs.remove(name)
        for path in damaged_records:
            files.unlink_quietly(path, home.fs)
    return Findings(
        blobs=len(digests),
        damaged=tuple(damaged),
        references=tuple(damaged_references),
        incomplete=incomplete,
        records=len(damaged_records),
    )


def _lacks_parts(digest: Digest, home: Home, intact_sizes: dict[Digest, int | None]) -> bool:
    """Return whether a composed blob has missing parts: then it counts as missing, not as damaged."""
    composition = home.blobs.composition(digest)
    return composition is not None and any(part not in intact_sizes for part in composition.parts)


def _check_references(
    home: Home, intact_sizes: dict[Digest, int | None]
) -> tuple[list[str], dict[str, tuple[Digest, ...]]]:
    """Return the names of damaged references, and the missing blobs of the others."""
    damaged_references: list[str] = []
    incomplete: dict[str, tuple[Digest, ...]] = {}
    for name in home.refs.names():
        try:
            descriptor = home.refs.get(name)
        except StoreError:
            damaged_references.append(name)
            continue
        if descriptor is None:
            continue  # removed in the meantime
        reachable = find_reachable([descriptor], home.blobs, intact_sizes.get)
        missing = tuple(sorted(digest for digest, is_present in reachable.items() if not is_present))
        if missing:
            incomplete[name] = missing
    return damaged_references, incomplete
