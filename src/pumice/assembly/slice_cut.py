"""Cuts slices into a directory: packages to segments, segments to a tree, the tree to files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.context import BuildContext, default_processors
from pumice.assembly.segment_cutter import SegmentRequest, cut_segments
from pumice.assembly.slice_archives import choose_packages, find_sources
from pumice.packing.segments import content_reader
from pumice.packing.selection import OPTIONAL_TREES, Selection
from pumice.slices import closure
from pumice.slices.manifest import add_manifests
from pumice.slices.mutation import run_scripts
from pumice.slices.package_files import list_package_files
from pumice.slices.selection import SlicedPackages, collect_packages, select_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.packing.segments import Segment
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedPackage
    from pumice.slices.model import Release
    from pumice.slices.tree import PackageFiles, SlicedEntry, SlicedTree
    from pumice.store.home import Home

WHOLE_PACKAGE = Selection(include=tuple(sorted(OPTIONAL_TREES)))
"""What is cut of a package for slices: everything, because they decide what to keep."""


class CutSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to cut: for which Debian architecture, from which mirrors (URLs by archive), whether offline."""

    architecture: str
    mirrors: dict[str, str] = {}
    offline: bool = False


class CutTree(msgspec.Struct, frozen=True):
    """A tree of slices, ready to be written; ``read`` returns the content of an entry."""

    selected: SlicedPackages
    tree: SlicedTree
    read: Callable[[SlicedEntry], bytes]
    notes: tuple[str, ...] = ()


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
        segments = cut_segments(requests, context)
    finally:
        session.close()
    readers = {name: content_reader(segment, home.blobs) for name, segment in segments.items()}
    selected = SlicedPackages(
        release,
        tuple(slices),
        settings.architecture,
        _list_files(segments, locked, readers),
    )
    return make_tree(selected, readers)


def _list_files(
    segments: Mapping[str, Segment],
    locked: Mapping[str, LockedPackage],
    readers: Mapping[str, Callable[[str], bytes]],
) -> dict[str, PackageFiles]:
    return {
        name: list_package_files(segment, locked[name].sha256, readers[name], merged_usr=False)
        for name, segment in segments.items()
    }


def make_tree(selected: SlicedPackages, readers: Mapping[str, Callable[[str], bytes]]) -> CutTree:
    """Return the tree of selected slices after their scripts ran; raises SliceError."""

    def read(item: SlicedEntry) -> bytes:
        return readers[item.package](item.source) if item.source else item.content

    entries, notes = select_entries(selected)
    tree = add_manifests(run_scripts(entries, selected, read), selected)
    return CutTree(selected, tree, read, tuple(notes))
