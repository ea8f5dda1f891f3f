"""Builds of several recipes at once: they share indexes, connections and threads."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.connection import SharedArchives
from pumice.assembly.context import default_processors
from pumice.assembly.cutting_pool import CuttingPool
from pumice.assembly.recipe_build import BuildSettings, RecipeBuild, SharedWork, build_recipe, lock_recipe
from pumice.errors import UsageError
from pumice.fetch.thread_pool import thread_pool
from pumice.recipe.model import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pumice.progress import Progress
    from pumice.store.home import Home


class BuildJob(msgspec.Struct, frozen=True):
    """A recipe to build, and what its build reports to."""

    recipe: Recipe
    settings: BuildSettings
    progress: Progress


class FinishedBuild(msgspec.Struct, frozen=True):
    """A build with the seconds that it took."""

    build: RecipeBuild
    seconds: float


def reject_collisions(targets: Iterable[tuple[Path, Sequence[str]]]) -> None:
    """Raise UsageError if two recipes, each with what it writes, would write the same name or destination."""
    owners: dict[str, tuple[int, Path]] = {}
    for number, (path, names) in enumerate(targets):
        for name in names:
            owner, owner_path = owners.setdefault(name, (number, path))
            if owner != number:
                raise UsageError(f"{owner_path} and {path} would both write {name}")


@contextmanager
def start_builds(
    jobs: Sequence[BuildJob],
    home: Home,
    *,
    environ: Mapping[str, str],
    offline: bool,
    progress: Progress,
) -> Iterator[list[Future[FinishedBuild]]]:
    """Build the recipes of ``jobs`` in parallel; yield their results in the same order.

    All recipes are locked first, because the indexes take more memory than everything else; they are
    forgotten before packages are cut. A recipe that fails does not stop the others.
    """
    processors = default_processors()
    with (
        SharedArchives(home, environ, offline=offline, progress=progress) as archives,
        CuttingPool(processors) as cutting_pool,
        thread_pool(processors, "build") as builders,
    ):
        shared = SharedWork(archives, cutting_pool)
        locks = [builders.submit(_lock, job, home, environ, shared) for job in jobs]
        wait(locks)
        archives.forget_indexes()
        yield [
            builders.submit(_build, job, lock, home, environ, shared)
            for job, lock in zip(jobs, locks, strict=True)
        ]


def _lock(job: BuildJob, home: Home, environ: Mapping[str, str], shared: SharedWork) -> float:
    """Write the lock of a recipe if it is missing or stale; return the seconds that it took."""
    started = time.monotonic()
    lock_recipe(job.recipe, job.settings, home, environ=environ, progress=job.progress, shared=shared)
    return time.monotonic() - started


def _build(
    job: BuildJob, lock: Future[float], home: Home, environ: Mapping[str, str], shared: SharedWork
) -> FinishedBuild:
    seconds = lock.result()
    started = time.monotonic()
    build = build_recipe(
        job.recipe, job.settings, home, environ=environ, progress=job.progress, shared=shared
    )
    return FinishedBuild(build, seconds + time.monotonic() - started)
