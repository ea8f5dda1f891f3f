"""A folder with a copy of everything a lock names, for building offline and for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.build.archives import Archives
    from pumice.recipe.lock import Lock

_THREADS = 4


def write(lock: Lock, archives: Archives, folder: Path) -> int:
    """Copy the packages of all of the lock's architectures into ``folder``; return how many there are.

    What is there already is checked and left alone, so it can be interrupted and repeated. Raises
    FetchError, TrustError or StoreError.
    """
    once = {package.sha256: package for found in lock.packages.values() for package in found}
    packages = sorted(once.values(), key=lambda package: (package.name, package.architecture))
    total = sum(package.size for package in packages)
    with archives.progress.task(f"bundling {len(packages)} packages", total) as task:
        pool = ThreadPoolExecutor(_THREADS, "bundle")
        try:
            jobs = [(package, pool.submit(archives.keep, package, folder)) for package in packages]
            for package, job in jobs:
                job.result()
                task.advance(package.size)
        finally:
            pool.shutdown(cancel_futures=True)
    return len(packages)
