"""Finds the dropped paths that links in the image point at, so that no link dangles.

Documentation is dropped from each package before other packages' links are known, so the targets to
keep are found after all packages are cut. The result depends only on the set of packages, not on the
order in which they were cut.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.packing import segments
from pumice.packing.relationships import replaces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pumice.packing.segments import Segment


class LinkTargets(msgspec.Struct, frozen=True):
    """Dropped paths to keep because a link points at them.

    ``keep`` are paths by the package that keeps them, including everything below them;
    ``directories`` are directories to keep without their content.
    """

    keep: dict[str, tuple[str, ...]]
    directories: tuple[str, ...] = ()


def find_link_targets(package_segments: Mapping[str, Segment], lock_format: int) -> LinkTargets:
    """Return the dropped paths that links in ``parts`` (segments by package name) point at.

    A path that one package ships is kept in that package. Of a directory that several packages ship,
    only the directory itself is kept: a link to ``/usr/share/man`` does not need all manual pages. Of
    a file that several packages ship, the one that wins the merge is kept.
    """
    if lock_format < 2:
        return LinkTargets(_find_format_1_targets(package_segments))
    targets = {target for segment in package_segments.values() for target in segments.link_targets(segment)}
    for segment in package_segments.values():
        targets.difference_update(segment_item.entry.path for segment_item in segment.items)
        targets.difference_update(entry.path for entry in segment.directories)
    keep: dict[str, list[str]] = {}
    directories: list[str] = []
    shippers = _find_shippers(package_segments, targets)
    for target in sorted(shippers):
        names = shippers[target]
        is_file = any(target in package_segments[name].dropped for name in names)
        if len(names) == 1 or is_file:
            keep.setdefault(_choose_owner(names, package_segments), []).append(target)
        else:
            directories.append(target)
    return LinkTargets({name: tuple(keep[name]) for name in sorted(keep)}, tuple(directories))


def _find_format_1_targets(package_segments: Mapping[str, Segment]) -> dict[str, tuple[str, ...]]:
    """Return the targets to keep in format 1: each in the last package by name that drops it."""
    dropped = {
        path: name
        for name in sorted(package_segments)
        for path in _list_dropped_paths(package_segments[name])
    }
    keep: dict[str, set[str]] = {}
    for segment in package_segments.values():
        for target in segments.link_targets(segment):
            if target in dropped:
                keep.setdefault(dropped[target], set()).add(target)
    return {name: tuple(sorted(keep[name])) for name in sorted(keep)}


def _list_dropped_paths(segment: Segment) -> Iterator[str]:
    yield from segment.dropped
    for entry in segment.parents:
        yield entry.path


def _find_shippers(package_segments: Mapping[str, Segment], targets: set[str]) -> dict[str, list[str]]:
    """Return the sorted names of the packages that ship each of ``targets``, by path.

    A package also ships the parent directories of its files, even without an entry for them.
    """
    shippers: dict[str, list[str]] = {}
    for name in sorted(package_segments) if targets else ():
        segment = package_segments[name]
        kept_paths = (segment_item.entry.path for segment_item in segment.items)
        for path in _with_parents((*_list_dropped_paths(segment), *kept_paths)):
            if path in targets:
                shippers.setdefault(path, []).append(name)
    return shippers


def _with_parents(paths: Iterable[str]) -> set[str]:
    paths_and_parents: set[str] = set()
    for start in paths:
        path = start
        while path and path not in paths_and_parents:
            paths_and_parents.add(path)
            path = posixpath.dirname(path)
    return paths_and_parents


def _choose_owner(names: list[str], package_segments: Mapping[str, Segment]) -> str:
    """Return the package that keeps a file: the first by name that no other package replaces."""
    packages = [package_segments[name].facts for name in names]
    for package in packages:
        if not any(replaces(other_owner, package) for other_owner in packages if other_owner is not package):
            return package.name
    return names[0]
