"""Reading everything in a store again, to find what the disk lost or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.errors import StoreError
from pumice.store.reachability import reachable

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.progress import Progress
    from pumice.store.home import Home


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a store; all sorted."""

    blobs: int
    """How many were read."""
    damaged: tuple[Digest, ...] = ()
    references: tuple[str, ...] = ()
    """Names that are damaged themselves."""
    incomplete: dict[str, tuple[Digest, ...]] = {}
    """Names with the blobs that they lack (or will, once the damaged ones are removed)."""
    records: int = 0
    """Damaged records: harmless, they count as absent."""

    def is_sound(self) -> bool:
        """Say whether nothing is wrong."""
        return not (self.damaged or self.references or self.incomplete)


def verify(home: Home, progress: Progress, *, repair: bool = False) -> Findings:
    """Hash every blob, trusting nothing that is recorded, and follow every reference.

    ``repair`` removes damaged blobs, records and references, so that the next build makes or
    fetches them again. Raises StoreError.
    """
    digests = list(home.blobs.digests())
    total = sum(home.blobs.stored_size(digest) for digest in digests)
    sound: dict[Digest, int | None] = {}
    with progress.task(f"verifying {len(digests)} blobs", total) as task:
        for digest in digests:
            if home.blobs.verify(digest):
                sound[digest] = home.blobs.size(digest)
            task.advance(home.blobs.stored_size(digest))
    unsound = [digest for digest in digests if digest not in sound]
    damaged = [digest for digest in unsound if not _lacks_parts(digest, home, sound)]
    references, incomplete = _follow(home, sound)
    records = [record.path for record in home.records.all() if not record.size]
    if repair:
        for digest in unsound:
            home.blobs.delete_damaged(digest)
        for name in references:
            home.refs.remove(name)
        for path in records:
            files.forget(path, home.fs)
    return Findings(
        blobs=len(digests),
        damaged=tuple(damaged),
        references=tuple(references),
        incomplete=incomplete,
        records=len(records),
    )


def _lacks_parts(digest: Digest, home: Home, sound: dict[Digest, int | None]) -> bool:
    """Say whether a blob is composed of what is not there: then it counts as absent, not as damaged."""
    whole = home.blobs.parts(digest)
    return whole is not None and any(part not in sound for part in whole.parts)


def _follow(home: Home, sound: dict[Digest, int | None]) -> tuple[list[str], dict[str, tuple[Digest, ...]]]:
    """Return the names that are damaged, and what the others lack."""
    broken: list[str] = []
    incomplete: dict[str, tuple[Digest, ...]] = {}
    for name in home.refs.names():
        try:
            descriptor = home.refs.get(name)
        except StoreError:
            broken.append(name)
            continue
        if descriptor is None:
            continue  # removed meanwhile
        found = reachable([descriptor], home.blobs, sound.get)
        lacks = tuple(sorted(digest for digest, there in found.items() if not there))
        if lacks:
            incomplete[name] = lacks
    return broken, incomplete
