"""A directory with a copy of every package that a lock names, for offline builds and archiving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.fetch.thread_pool import thread_pool
from pumice.terminal import format_count

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.assembly.connection import ArchiveConnection
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock, LockedPackage

_THREADS = 4


def write_bundle(lock: Lock, connection: ArchiveConnection, directory: Path, *, progress: Progress) -> int:
    """Copy the packages of all of the lock's architectures into ``directory``; return their number.

    Existing copies are verified and kept, so an interrupted run can be repeated. Raises FetchError,
    TrustError or StoreError.
    """
    from pumice.fetch import packages

    def copy_package(package: LockedPackage) -> None:
        connection.fetch_package(package, lock)
        packages.copy_to_bundle(package, connection.open()[1], directory)

    by_digest = {
        package.sha256: package for architecture in lock.packages for package in lock.packages[architecture]
    }
    ordered = sorted(by_digest.values(), key=lambda package: (package.name, package.architecture))
    label = f"bundling {format_count(len(ordered), 'package')}"
    total = sum(package.size for package in ordered)
    with (
        progress.task(label, total) as task,
        thread_pool(_THREADS, "bundle") as threads,
    ):
        for package, job in [(package, threads.submit(copy_package, package)) for package in ordered]:
            job.result()
            task.advance(package.size)
    return len(ordered)
