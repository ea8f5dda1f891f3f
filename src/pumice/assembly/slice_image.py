"""The slices of an image: segments of packages with what slices list, change and make."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.recipe_slices import load_recipe_release, select_slices
from pumice.assembly.segment_cutter import CACHE
from pumice.assembly.slice_tree import make_tree
from pumice.errors import LockError
from pumice.packing.segments import content_reader
from pumice.packing.tree import GeneratedEntry
from pumice.slices.manifest import find_manifest_paths
from pumice.slices.package_files import list_package_files
from pumice.slices.partial_package import (
    SlicedPackage,
    cut_sliced_package,
    is_shipped,
    plan_additions,
    plan_partial_package,
)
from pumice.slices.selection import SlicedPackages

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping

    from pumice.assembly.context import BuildContext
    from pumice.assembly.package_segments import CutPackages
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.assembly.slice_tree import CutTree
    from pumice.formats.tar import Entry
    from pumice.packing.segments import Segment
    from pumice.slices.model import Release, Slice
    from pumice.store.home import Home

ORIGIN = "slices"


class SelectedSlices(msgspec.Struct, frozen=True):
    """The slices of an image, those that others require included, and their release."""

    release: Release
    slices: tuple[Slice, ...]

    @property
    def names(self) -> dict[str, list[str]]:
        """The names of the slices by package."""
        names: dict[str, list[str]] = {}
        for item in self.slices:
            names.setdefault(item.package, []).append(item.name)
        return names


class SlicedImage(msgspec.Struct, frozen=True):
    """The packages of an image with those that are sliced, and what slices put in place of others' files."""

    cut: CutPackages
    entries: tuple[GeneratedEntry, ...] = ()
    notes: tuple[str, ...] = ()


def find_slices(inputs: PlatformInputs, context: BuildContext) -> SelectedSlices | None:
    """Return the slices that the recipe of an image selects, None if there are none; raises PumiceError."""
    if not inputs.recipe.selected_slices:
        return None
    release = load_recipe_release(inputs.recipe, context.home)
    if release.digest != inputs.slices:
        raise LockError(
            "the slices are not those of the lock", hint=f"run 'pumice lock {inputs.recipe.path}'"
        )
    return SelectedSlices(release, tuple(select_slices(inputs.recipe, release, inputs.architecture)))


def slice_packages(
    inputs: PlatformInputs, cut: CutPackages, selected: SelectedSlices | None, context: BuildContext
) -> SlicedImage:
    """Return the packages of an image with its slices; raises PumiceError."""
    if selected is None:
        return SlicedImage(cut)
    blobs = context.home.blobs
    digests = {package.name: package.sha256 for package in inputs.packages}
    readers = {name: content_reader(cut.segments[name], blobs) for name in selected.names}
    files = {
        name: list_package_files(cut.segments[name], digests[name], readers[name], merged_usr=True)
        for name in readers
    }
    tree = make_tree(
        SlicedPackages(selected.release, selected.slices, inputs.architecture, files, merged_usr=True),
        readers,
    )
    partial_names = {package.name for package in inputs.packages if package.role == "slice"}
    plans = _plan_packages(cut.segments, partial_names, selected, tree)
    return SlicedImage(
        _change_packages(cut, plans, tree, context.home),
        tuple(_generate(tree, cut.segments, plans)),
        tree.notes,
    )


def _plan_packages(
    segments: Mapping[str, Segment], partial_names: Container[str], selected: SelectedSlices, tree: CutTree
) -> dict[str, SlicedPackage]:
    """Return how slices change each package that they are about."""
    owners: dict[str, set[str]] = {}
    for name, segment in segments.items():
        for path in _list_paths(segment):
            owners.setdefault(path, set()).add(name)
    manifests = {path.lstrip("/") for path in find_manifest_paths(tree.selected)}
    plans: dict[str, SlicedPackage] = {}
    for name, slice_names in selected.names.items():
        taken = {path for path, names in owners.items() if names != {name}} | manifests
        plan = plan_additions(segments[name], tree.tree, taken)
        if name in partial_names:
            plan = plan_partial_package(segments[name], plan, slice_names, tree.tree)
        plans[name] = plan
    return plans


def _list_paths(segment: Segment) -> Iterator[str]:
    yield from (item.entry.path for item in segment.items)
    yield from (entry.path for entry in segment.directories)


def _change_packages(
    cut: CutPackages, plans: Mapping[str, SlicedPackage], tree: CutTree, home: Home
) -> CutPackages:
    def read(path: str) -> bytes:
        return tree.read(tree.tree[f"/{path}"])

    segments, keys = dict(cut.segments), dict(cut.keys)
    for name, plan in plans.items():
        if plan:
            keys[name] = plan.key(cut.keys[name])
            segments[name] = CACHE.get_or_compute(
                home, keys[name], partial(cut_sliced_package, segments[name], plan, read, home.blobs)
            )
    return msgspec.structs.replace(cut, segments=segments, keys=keys)


def _generate(
    tree: CutTree, segments: Mapping[str, Segment], plans: Mapping[str, SlicedPackage]
) -> Iterator[GeneratedEntry]:
    """Yield what is in the segment of no package: manifests, and what replaces a file of another package."""
    present = {path for segment in segments.values() for path in _list_paths(segment)}
    entries = {name: {entry.path: entry for entry in _list_entries(segments[name])} for name in plans}
    added = {item.entry.path for plan in plans.values() for item in plan.added}
    for item in tree.tree.values():
        path = item.entry.path
        if path in added or (item.package and is_shipped(item, entries[item.package])):
            continue
        if item.entry.kind == "dir" and (path in present or not item.is_listed):
            continue
        content = tree.read(item) if item.entry.kind == "file" else b""
        yield GeneratedEntry(entry=item.entry, content=content, origin=ORIGIN)


def _list_entries(segment: Segment) -> Iterator[Entry]:
    yield from (item.entry for item in segment.items)
    yield from segment.directories
