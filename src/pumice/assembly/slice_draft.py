"""Fetches the packages that a draft of slices is made from: those that are named, and what they depend on."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.assembly.context import BuildContext, default_processors
from pumice.assembly.locked_package import lock_package
from pumice.assembly.segment_cutter import SegmentRequest, cut_segments
from pumice.assembly.slice_archives import find_sources
from pumice.assembly.slice_packages import WHOLE_PACKAGE
from pumice.omission.graph import make_graph
from pumice.omission.providers import Providers
from pumice.omission.tables import find_omittable
from pumice.packing.segments import content_reader
from pumice.recipe.model import Request
from pumice.resolve.problem import Requirements
from pumice.resolve.solver import resolve
from pumice.slices.draft.drafting import Closure, DraftedPackage, draft_packages
from pumice.slices.draft.evidence import PackageEvidence, read_evidence
from pumice.slices.package_files import list_package_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.slice_packages import CutSettings
    from pumice.packing.segments import Segment
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedPackage
    from pumice.slices.model import Release
    from pumice.store.home import Home


def draft_slices(
    release: Release,
    names: Sequence[str],
    settings: CutSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
) -> list[DraftedPackage]:
    """Return the drafted definitions of packages, and of those they require that the release lacks.

    Raises PumiceError.
    """
    from pumice.assembly.connection import open_session
    from pumice.fetch import indexes, packages

    machine, config, session = open_session(home, environ, offline=settings.offline, progress=progress)
    try:
        found = find_sources(release, (), settings.mirrors, config, machine)
        universe = indexes.load_indexes(found.sources, [settings.architecture], session).universe(
            settings.architecture
        )
        requests = tuple(Request(name=name) for name in sorted(set(names)))
        solution = resolve(universe, Requirements(requests=requests, base="essential"))
        locked = [lock_package(record) for record in solution.packages]

        def fetch(package: LockedPackage) -> str:
            return packages.fetch_package(package, found.sources, session, recipe_dir=Path())

        context = BuildContext(
            home=home, fetch_package=fetch, processors=default_processors(), progress=progress
        )
        segments = cut_segments([SegmentRequest(package, WHOLE_PACKAGE) for package in locked], context)
    finally:
        session.close()
    return draft_packages(_make_closure(release, segments, home), names)


def _make_closure(release: Release, segments: Mapping[str, Segment], home: Home) -> Closure:
    @functools.cache
    def read(name: str) -> PackageEvidence:
        return read_evidence(segments[name], home.blobs)

    packages = {
        name: list_package_files(segment, "", content_reader(segment, home.blobs), merged_usr=False).entries
        for name, segment in segments.items()
    }
    fields = {name: segment.facts.fields for name, segment in segments.items()}
    return Closure(
        release=release,
        paths={
            name: {item.source: item.path for item in entries if item.entry.kind != "dir"}
            for name, entries in packages.items()
        },
        directories={
            name: [item.path for item in entries if item.entry.kind == "dir"]
            for name, entries in packages.items()
        },
        read=read,
        providers=Providers(segments),
        graph=make_graph(fields, find_omittable(fields), recommends=False),
        essential=frozenset(name for name in fields if fields[name].get("Essential") == "yes"),
    )
