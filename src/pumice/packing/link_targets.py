"""Dropped paths that links of the image need: a link that stays keeps its target.

A package drops its documentation without knowing who links to it, so what has to stay is found once
all packages are cut. It depends on the set of the packages, and on no order: what the store had and
which thread was first must not show in an image.
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
    """What has to stay because a link points at it.

    ``keep`` are dropped paths by the package in which they stay, with all that is below them;
    ``directories`` the paths of those of which only the directory itself stays.
    """

    keep: dict[str, tuple[str, ...]]
    directories: tuple[str, ...] = ()


def find_link_targets(package_segments: Mapping[str, Segment], lock_format: int) -> LinkTargets:
    """Return the dropped paths that links in ``parts`` (segments by package name) point at.

    A path that exactly one package ships stays there. Of a directory that several ship only the
    directory itself stays: a link to ``/usr/share/man`` does not ask for all manual pages. Of a file
    that several ship, the one that would win stays.
    """
    if lock_format < 2:
        return LinkTargets(_find_format_1_targets(package_segments))
    targets = {target for segment in package_segments.values() for target in segments.link_targets(segment)}
    for part in package_segments.values():
        targets.difference_update(item.entry.path for item in part.items)
        targets.difference_update(entry.path for entry in part.directories)
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
    """Return what format 1 keeps: each target in the last package by name that drops it."""
    dropped = {
        path: name for name in sorted(package_segments) for path in _dropped_paths(package_segments[name])
    }
    keep: dict[str, set[str]] = {}
    for segment in package_segments.values():
        for target in segments.link_targets(segment):
            if target in dropped:
                keep.setdefault(dropped[target], set()).add(target)
    return {name: tuple(sorted(keep[name])) for name in sorted(keep)}


def _dropped_paths(segment: Segment) -> Iterator[str]:
    yield from segment.dropped
    for entry in segment.parents:
        yield entry.path


def _find_shippers(package_segments: Mapping[str, Segment], targets: set[str]) -> dict[str, list[str]]:
    """Return, for each of ``targets`` that was dropped, the sorted names of the packages that ship it.

    A package also ships the directories above its files that it does not list.
    """
    shippers: dict[str, list[str]] = {}
    for name in sorted(package_segments) if targets else ():
        segment = package_segments[name]
        kept_paths = (item.entry.path for item in segment.items)
        for path in _with_parents((*_dropped_paths(segment), *kept_paths)):
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
    """Return which of several packages keeps a file: one that no other replaces, the first by name."""
    packages = [package_segments[name].facts for name in names]
    for package in packages:
        if not any(replaces(other, package) for other in packages if other is not package):
            return package.name
    return names[0]
