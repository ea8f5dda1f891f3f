"""Drafts the definitions of packages, and of all that they require and a release does not define yet."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.omission.tables import reasons
from pumice.packing.path_patterns import is_pattern
from pumice.slices.draft.contents import list_owners, write_contents
from pumice.slices.draft.grouping import COPYRIGHT, LeftOut
from pumice.slices.draft.requirements import Requirement, UseFinder, break_cycles, find_unused
from pumice.slices.draft.slice_index import SliceIndex
from pumice.slices.model import Essential, PackageSlices, PathRule, Slice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pumice.omission.graph import Graph
    from pumice.omission.providers import Providers
    from pumice.slices.draft.evidence import PackageEvidence
    from pumice.slices.draft.grouping import Groups
    from pumice.slices.model import Release

_HINTS = {
    "bins": "Programs",
    "libs": "Libraries",
    "modules": "Modules that programs load",
    "config": "Configuration",
    "data": "Data",
    "services": "Units of systemd",
    "gconv": "Conversions between character sets",
    "locale": "Locales",
    "all": "What the package depends on",
}


class Closure(msgspec.Struct, frozen=True, kw_only=True):
    """The packages that a draft knows, with their dependencies.

    ``paths`` are the files of each package: paths of a merged ``/usr`` with those in the package;
    ``directories`` are those that a package ships. ``read`` returns a package with what its files use.
    """

    release: Release
    paths: Mapping[str, Mapping[str, str]]
    directories: Mapping[str, Sequence[str]]
    read: Callable[[str], PackageEvidence]
    providers: Providers
    graph: Graph
    essential: frozenset[str]


class DraftedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A drafted definition, what it leaves out, and notes for the person who reviews it."""

    definition: PackageSlices
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def draft_packages(closure: Closure, names: Sequence[str]) -> list[DraftedPackage]:
    """Return the definitions of packages, and of those they require that the release lacks, by name."""
    paths = _known_paths(closure)
    owners = list_owners(paths)
    neighbors = _Neighbors(paths)
    index = SliceIndex(closure.release, closure.paths, closure.read, frozenset(names), owners)
    finder = UseFinder(closure.providers, closure.graph, closure.essential, index)
    required: dict[str, dict[str, list[Requirement]]] = {}
    notes: dict[str, list[str]] = {}
    pending = sorted(names, reverse=True)
    while pending:
        name = pending.pop()
        if name in required:
            continue
        required[name], notes[name] = finder.find_required(closure.read(name), index.groups(name))
        others = {
            item.name.partition("_")[0] for requirements in required[name].values() for item in requirements
        }
        pending += sorted((other for other in others if index.is_drafted(other)), reverse=True)
    fixed = {
        item.full_name: [essential.name for essential in item.essential]
        for item in closure.release.all_slices()
        if item.package not in required
    }
    for full_name, item in break_cycles(required, fixed):
        package, _, slice_name = full_name.partition("_")
        use = item.thing or item.name
        notes[package].append(f"{slice_name} does not require {item.name} ({use}), which requires it")
    return [
        _draft_package(
            closure,
            name,
            required[name],
            write_contents(closure.read(name), index.groups(name), owners, neighbors.finder(name)),
            index.groups(name),
            notes[name],
        )
        for name in sorted(required)
    ]


class _Neighbors:
    """The files of all packages by their directory."""

    def __init__(self, paths_by_package: Mapping[str, Sequence[str]]) -> None:
        self._files: dict[str, list[tuple[str, str]]] = {}
        for package, paths in paths_by_package.items():
            for path in paths:
                self._files.setdefault(posixpath.dirname(path), []).append((package, path))

    def finder(self, package: str) -> Callable[[str], Iterator[str]]:
        """Return a function that yields the files of other packages in the directory of a path."""

        def find(path: str) -> Iterator[str]:
            for owner, other in self._files.get(posixpath.dirname(path), ()):
                if owner != package:
                    yield other

        return find


def _known_paths(closure: Closure) -> dict[str, list[str]]:
    """Return the files of all packages of the closure, and the paths of those that the release defines."""
    all_paths = {name: [*paths.values(), *closure.directories[name]] for name, paths in closure.paths.items()}
    for name, definition in closure.release.packages.items():
        paths = [rule.path for item in definition.slices.values() for rule in item.contents]
        all_paths.setdefault(name, []).extend(paths)
    return all_paths


def _draft_package(
    closure: Closure,
    name: str,
    required: Mapping[str, Sequence[Requirement]],
    contents: Mapping[str, Sequence[str]],
    groups: Groups,
    notes: Sequence[str],
) -> DraftedPackage:
    slices: dict[str, Slice] = {}
    for slice_name in sorted({*contents, *required}):
        needed = {item.name for item in required.get(slice_name, ())}
        if COPYRIGHT in groups.slices and slice_name != COPYRIGHT:
            needed.add(f"{name}_{COPYRIGHT}")
        slices[slice_name] = Slice(
            name,
            slice_name,
            hint=_HINTS.get(slice_name, ""),
            essential=tuple(Essential(other) for other in sorted(needed)),
            contents=tuple(
                PathRule(path, "glob" if is_pattern(path) else "copy")
                for path in contents.get(slice_name, ())
            ),
        )
    return DraftedPackage(
        definition=PackageSlices(name, f"slices/{name}.yaml", slices=slices),
        left_out=groups.left_out,
        notes=(*_dependency_notes(closure, name, required), *notes),
    )


def _dependency_notes(
    closure: Closure, name: str, required: Mapping[str, Sequence[Requirement]]
) -> list[str]:
    """Return notes about dependencies that no file shows, and about those that are left out."""
    notes = [
        f"{slice_name} requires {item.name} because the package depends on it"
        for slice_name in sorted(required)
        for item in required[slice_name]
        if item.thing and not item.file
    ]
    packages = {item.name.partition("_")[0] for found in required.values() for item in found}
    table = reasons()
    for other in sorted({*closure.graph.weak.get(name, ()), *closure.graph.strong.get(name, ())}):
        reason = table.get(f"{name}>{other}") or table.get(other) or find_unused(name, other)
        if other not in packages and reason:
            notes.append(f"the dependency {other} is left out: {reason}")
    return notes
