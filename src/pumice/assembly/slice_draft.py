"""Fetches the packages that a draft of slices is made from: those that are named, and what they depend on."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pumice.assembly.locked_package import lock_package
from pumice.assembly.slice_packages import cut_packages, open_archives
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
    with open_archives(release, (), settings, home, environ=environ, progress=progress) as archives:
        requests = tuple(Request(name=name) for name in sorted(set(names)))
        solution = resolve(archives.universe, Requirements(requests=requests, base="essential"))
        cut = cut_packages(map(lock_package, solution.packages), archives, home, progress)
    segments = {name: segment for name, (_, segment) in cut.items()}
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
