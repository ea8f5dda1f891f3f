"""The packages of slices: chosen from the archives of a release, fetched, and cut as a whole."""

from __future__ import annotations

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
    from collections.abc import Callable, Mapping, Sequence

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


def open_packages(
    release: Release,
    names: Sequence[str],
    settings: CutSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
) -> OpenedPackages:
    """Fetch and cut the packages ``names`` from the archives of a release; raises PumiceError."""
    segments, locked = _cut(release, names, settings, home, environ, progress)
    readers = {name: content_reader(segment, home.blobs) for name, segment in segments.items()}
    files = {
        name: list_package_files(segment, locked[name].sha256, readers[name], merged_usr=False)
        for name, segment in segments.items()
    }
    return OpenedPackages(files, readers)


def _cut(
    release: Release,
    names: Sequence[str],
    settings: CutSettings,
    home: Home,
    environ: Mapping[str, str],
    progress: Progress,
) -> tuple[dict[str, Segment], dict[str, LockedPackage]]:
    from pumice.assembly.connection import open_session
    from pumice.fetch import indexes, packages

    machine, config, session = open_session(home, environ, offline=settings.offline, progress=progress)
    try:
        found = find_sources(release, names, settings.mirrors, config, machine)
        loaded = indexes.load_indexes(found.sources, [settings.architecture], session)
        universe = loaded.universe(settings.architecture)
        locked = choose_packages(release, names, universe, found.archives)

        def fetch(package: LockedPackage) -> str:
            return packages.fetch_package(package, found.sources, session, recipe_dir=Path())

        locked = {
            name: package
            if package.sha256  # an archive may list only SHA-512: compute it from the package
            else msgspec.structs.replace(package, sha256=fetch(package).removeprefix("sha256:"))
            for name, package in locked.items()
        }
        context = BuildContext(
            home=home, fetch_package=fetch, processors=default_processors(), progress=progress
        )
        requests = [SegmentRequest(package, WHOLE_PACKAGE) for package in locked.values()]
        return cut_segments(requests, context), locked
    finally:
        session.close()
