"""Cuts slices into a directory: packages to segments, segments to a tree, the tree to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.context import BuildContext, default_processors
from pumice.assembly.segment_cutter import SegmentRequest, cut_segments
from pumice.assembly.slice_archives import choose_packages, find_sources
from pumice.assembly.slice_tree import make_tree
from pumice.packing.segments import content_reader
from pumice.packing.selection import OPTIONAL_TREES, Selection
from pumice.slices import closure
from pumice.slices.package_files import list_package_files
from pumice.slices.selection import SlicedPackages, collect_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.assembly.slice_tree import CutTree
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


def cut_slices(
    release: Release,
    names: Sequence[str],
    settings: CutSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
) -> CutTree:
    """Return the tree of slices and of all that they require; raises PumiceError."""
    from pumice.assembly.connection import open_session
    from pumice.fetch import indexes, packages

    slices = closure.select(release, names, settings.architecture)
    package_names = collect_packages(slices)
    machine, config, session = open_session(home, environ, offline=settings.offline, progress=progress)
    try:
        found = find_sources(release, package_names, settings.mirrors, config, machine)
        loaded = indexes.load_indexes(found.sources, [settings.architecture], session)
        universe = loaded.universe(settings.architecture)
        locked = choose_packages(release, package_names, universe, found.archives)

        def fetch(package: LockedPackage) -> str:
            from pathlib import Path

            return packages.fetch_package(package, found.sources, session, recipe_dir=Path())

        locked = _add_digests(locked, fetch)
        context = BuildContext(
            home=home, fetch_package=fetch, processors=default_processors(), progress=progress
        )
        requests = [SegmentRequest(package, WHOLE_PACKAGE) for package in locked.values()]
        segments = cut_segments(requests, context)
    finally:
        session.close()
    readers = {name: content_reader(segment, home.blobs) for name, segment in segments.items()}
    files = _list_files(segments, locked, readers)
    return make_tree(SlicedPackages(release, tuple(slices), settings.architecture, files), readers)


def _add_digests(
    packages: Mapping[str, LockedPackage], fetch: Callable[[LockedPackage], str]
) -> dict[str, LockedPackage]:
    """Return the packages with their SHA-256; an archive may list only SHA-512, so they are fetched."""
    return {
        name: package
        if package.sha256
        else msgspec.structs.replace(package, sha256=fetch(package).removeprefix("sha256:"))
        for name, package in packages.items()
    }


def _list_files(
    segments: Mapping[str, Segment],
    locked: Mapping[str, LockedPackage],
    readers: Mapping[str, Callable[[str], bytes]],
) -> dict[str, PackageFiles]:
    return {
        name: list_package_files(segment, locked[name].sha256, readers[name], merged_usr=False)
        for name, segment in segments.items()
    }
