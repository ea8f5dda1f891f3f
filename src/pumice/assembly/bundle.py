"""A folder with a copy of everything a lock names, for building offline and for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.fetch.thread_pool import pool

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.assembly.connection import Connection
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock, LockedPackage

_THREADS = 4


def write(lock: Lock, connection: Connection, folder: Path, *, progress: Progress) -> int:
    """Copy the packages of all of the lock's architectures into ``folder``; return how many there are.

    What is there already is checked and left alone, so it can be interrupted and repeated. Raises
    FetchError, TrustError or StoreError.
    """
    from pumice.fetch import packages

    def keep(package: LockedPackage) -> None:
        connection.fetch(package, lock)
        packages.keep(package, connection.open()[1], folder)

    once = {package.sha256: package for found in lock.packages.values() for package in found}
    wanted = sorted(once.values(), key=lambda package: (package.name, package.architecture))
    with (
        progress.task(f"bundling {len(wanted)} packages", sum(one.size for one in wanted)) as task,
        pool(_THREADS, "bundle") as threads,
    ):
        for package, job in [(package, threads.submit(keep, package)) for package in wanted]:
            job.result()
            task.advance(package.size)
    return len(wanted)
