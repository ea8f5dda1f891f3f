"""The segments of an image's packages: what is selected of each, cut, and adapted to the whole image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.segment_cutter import CACHE, SegmentRequest, cut_segments
from pumice.distro.universe import LOCALE_DATA
from pumice.packing import segments
from pumice.packing.link_targets import find_link_targets
from pumice.packing.selection import LOCALE_DIRECTORIES, OPTIONAL_TREES, Selection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.assembly.context import BuildContext
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.digest import Digest
    from pumice.packing.excluded_paths import Exclusions
    from pumice.packing.layer_plan import LayerGroup
    from pumice.packing.segments import Segment, SegmentChanges
    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home


ALL_TREES = tuple(sorted(OPTIONAL_TREES))
"""What is included of packages for slices: all optional files that slices list."""


class CutPackages(msgspec.Struct, frozen=True):
    """Segments and their cache keys, by package name.

    ``link_directories`` are directories to keep only because links point at them. ``exclusions`` is what
    the recipe excludes, None if it excludes nothing.
    """

    segments: dict[str, Segment]
    keys: dict[str, Digest]
    link_directories: tuple[str, ...]
    exclusions: Exclusions | None = None


def cut_packages(
    inputs: PlatformInputs,
    groups: Sequence[LayerGroup],
    listed_paths: Mapping[str, tuple[str, ...]],
    context: BuildContext,
) -> CutPackages:
    """Cut the packages of an image; those that hold the target of a link are cut again to keep it.

    ``listed_paths`` are what slices list of each package that is not in the image as a whole.
    """
    requests = _select(inputs, groups, listed_paths)
    package_segments = cut_segments(requests, context)
    link_directories: tuple[str, ...] = ()
    while True:
        targets = find_link_targets(package_segments, inputs.format)
        extended_requests = {request.package.name: request for request in _extend(requests, targets.keep)}
        if not extended_requests:
            link_directories = targets.directories
            break
        requests = [extended_requests.get(request.package.name, request) for request in requests]
        package_segments = package_segments | cut_segments([*extended_requests.values()], context)
        if inputs.format < 2:
            break
    return CutPackages(
        package_segments, {request.package.name: request.key for request in requests}, link_directories
    )


def without_excluded_paths(cut: CutPackages, recipe: Recipe, home: Home) -> CutPackages:
    """Return ``cut`` without the paths that the recipe excludes."""
    if not recipe.exclude:
        return cut
    from pumice.packing.exclude_patterns import find_exclusions
    from pumice.packing.exclusion import exclude_paths, excluded_segment_key

    exclusions = find_exclusions(recipe.exclude, recipe.include, cut.segments)
    package_segments, keys = dict(cut.segments), dict(cut.keys)
    for name, excluded in exclusions.packages.items():
        keys[name] = excluded_segment_key(cut.keys[name], excluded)
        package_segments[name] = CACHE.get_or_compute(
            home, keys[name], partial(exclude_paths, cut.segments[name], excluded, home.blobs)
        )
    link_directories = tuple(path for path in cut.link_directories if path not in exclusions.patterns)
    return CutPackages(package_segments, keys, link_directories, exclusions)


def _select(
    inputs: PlatformInputs, groups: Sequence[LayerGroup], listed_paths: Mapping[str, tuple[str, ...]]
) -> list[SegmentRequest]:
    alone = {name for group in groups if group.has_own_layer for name in group.packages}
    include = tuple(sorted(set(inputs.recipe.include)))
    return [
        SegmentRequest(
            package,
            Selection(
                include=ALL_TREES if package.role == "slice" else include,
                only=_locale_directories(package),
                paths=listed_paths.get(package.name, ()) if package.role == "slice" else None,
                includes_dpkg_info=package.role != "base-data",
                has_own_layer=package.name in alone,
                format=inputs.format,
            ),
        )
        for package in inputs.packages
    ]


def _locale_directories(package: LockedPackage) -> tuple[str, ...]:
    """Return the part of a package that ``base: data`` uses; empty if it uses the whole package."""
    is_locale_data = package.role == "base-data" and package.name in LOCALE_DATA.values()
    return LOCALE_DIRECTORIES if is_locale_data else ()


def _extend(
    requests: Sequence[SegmentRequest], paths_to_keep: Mapping[str, Sequence[str]]
) -> Iterator[SegmentRequest]:
    """Yield the requests that must keep more paths than before, with all the paths that they keep.

    Of a sliced package only what slices list is kept.
    """
    for request in requests:
        if request.selection.paths is not None:
            continue
        paths = tuple(sorted({*request.selection.keep, *paths_to_keep.get(request.package.name, ())}))
        if paths != request.selection.keep:
            yield SegmentRequest(request.package, msgspec.structs.replace(request.selection, keep=paths))


def rework_segment(key: Digest, segment: Segment, changes: SegmentChanges, home: Home) -> Segment:
    """Return ``segment``, which is cached under ``key``, with ``changes``; cached as well."""
    if not changes:
        return segment
    reworked_key = segments.changed_segment_key(key, changes)
    return CACHE.get_or_compute(
        home, reworked_key, lambda: segments.change_segment(segment, changes, home.blobs)
    )
