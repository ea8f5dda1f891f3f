"""The packages of slices: chosen from the archives of a release, fetched, and cut as a whole."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.context import BuildContext, default_processors
from pumice.assembly.segment_cutter import SegmentRequest, cut_segments
from pumice.assembly.slice_archives import choose_packages, find_sources
from pumice.packing.segments import content_reader
from pumice.packing.selection import OPTIONAL_TREES, Selection
from pumice.slices.package_files import list_package_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pumice.digest import Digest
    from pumice.distro.universe import Universe
    from pumice.packing.segments import Segment
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedPackage
    from pumice.slices.model import Release
    from pumice.slices.tree import PackageFiles
    from pumice.store.home import Home

WHOLE_PACKAGE = Selection(include=tuple(sorted(OPTIONAL_TREES)))
"""What is cut of a package for slices: everything, because they decide what to keep."""


class CutSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to cut: for which Debian architecture, from which mirrors (URLs by archive), whether offline."""

    architecture: str
    mirrors: dict[str, str] = {}
    offline: bool = False


class OpenedPackages(msgspec.Struct, frozen=True):
    """Packages by name: their entries, and functions that read their files by the paths in their segments."""

    files: dict[str, PackageFiles]
    readers: dict[str, Callable[[str], bytes]]


class ReleaseArchives(msgspec.Struct, frozen=True):
    """The archives of a release while they are connected: their packages, and how to fetch one."""

    universe: Universe
    archives: dict[str, str]
    """The archive of the release that the archive of each source belongs to."""
    fetch_package: Callable[[LockedPackage], Digest]


@contextmanager
def open_archives(
    release: Release,
    names: Sequence[str],
    settings: CutSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
) -> Iterator[ReleaseArchives]:
    """Connect to the archives of a release, those of the packages ``names`` included; raises PumiceError."""
    from pumice.assembly.connection import open_session
    from pumice.fetch import indexes, packages

    machine, config, session = open_session(home, environ, offline=settings.offline, progress=progress)
    try:
        release_sources = find_sources(release, names, settings.mirrors, config, machine)
        loaded = indexes.load_indexes(release_sources.sources, [settings.architecture], session)

        def fetch_package(package: LockedPackage) -> Digest:
            return packages.fetch_package(package, release_sources.sources, session, recipe_dir=Path())

        yield ReleaseArchives(loaded.universe(settings.architecture), release_sources.archives, fetch_package)
    finally:
        session.close()


def cut_packages(
    packages: Iterable[LockedPackage],
    archives: ReleaseArchives,
    home: Home,
    progress: Progress,
    *,
    listed_paths: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, tuple[LockedPackage, Segment]]:
    """Return packages as segments, by name, with all their files or ``listed_paths``; raises PumiceError."""
    locked = {package.name: _with_sha256(package, archives) for package in packages}
    context = BuildContext(
        home=home,
        fetch_package=archives.fetch_package,
        processors=default_processors(),
        progress=progress,
    )
    requests = [
        SegmentRequest(
            package,
            WHOLE_PACKAGE
            if listed_paths is None
            else msgspec.structs.replace(WHOLE_PACKAGE, paths=listed_paths.get(package.name, ())),
        )
        for package in locked.values()
    ]
    return {name: (locked[name], segment) for name, segment in cut_segments(requests, context).items()}


def _with_sha256(package: LockedPackage, archives: ReleaseArchives) -> LockedPackage:
    if package.sha256:  # an archive may list only SHA-512: compute it from the package
        return package
    digest = archives.fetch_package(package)
    return msgspec.structs.replace(package, sha256=digest.removeprefix("sha256:"))


def open_packages(
    release: Release,
    names: Sequence[str],
    settings: CutSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
    listed_paths: Mapping[str, tuple[str, ...]] | None = None,
) -> OpenedPackages:
    """Fetch and cut the packages ``names`` from the archives of a release; raises PumiceError.

    They have all their files, or those at ``listed_paths`` by package.
    """
    with open_archives(release, names, settings, home, environ=environ, progress=progress) as archives:
        chosen = choose_packages(release, names, archives.universe, archives.archives)
        cut = cut_packages(chosen.values(), archives, home, progress, listed_paths=listed_paths)
    readers = {name: content_reader(segment, home.blobs) for name, (_, segment) in cut.items()}
    files = {
        name: list_package_files(segment, package.sha256, readers[name], merged_usr=False)
        for name, (package, segment) in cut.items()
    }
    return OpenedPackages(files, readers)
