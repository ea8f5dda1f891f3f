"""The slices of an image: segments with only what slices list, and what slices make themselves."""

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
from pumice.slices.package_files import list_package_files
from pumice.slices.partial_package import cut_partial_package, plan_partial_package
from pumice.slices.selection import SlicedPackages, collect_packages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pumice.assembly.context import BuildContext
    from pumice.assembly.package_segments import CutPackages
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.assembly.slice_tree import CutTree
    from pumice.packing.segments import Segment
    from pumice.slices.model import Slice
    from pumice.store.home import Home

ORIGIN = "slices"


class SlicedImage(msgspec.Struct, frozen=True):
    """The packages of an image with those that are sliced, and what slices add to them."""

    cut: CutPackages
    entries: tuple[GeneratedEntry, ...] = ()
    notes: tuple[str, ...] = ()


def slice_packages(inputs: PlatformInputs, cut: CutPackages, context: BuildContext) -> SlicedImage:
    """Return the packages of an image with the slices that its recipe selects; raises PumiceError."""
    if not inputs.recipe.selected_slices:
        return SlicedImage(cut)
    release = load_recipe_release(inputs.recipe, context.home)
    if release.digest != inputs.slices:
        raise LockError(
            "the slices are not those of the lock", hint=f"run 'pumice lock {inputs.recipe.path}'"
        )
    slices = select_slices(inputs.recipe, release, inputs.architecture)
    blobs = context.home.blobs
    digests = {package.name: package.sha256 for package in inputs.packages}
    names = collect_packages(slices)
    readers = {name: content_reader(cut.segments[name], blobs) for name in names}
    files = {
        name: list_package_files(cut.segments[name], digests[name], readers[name], merged_usr=True)
        for name in names
    }
    tree = make_tree(
        SlicedPackages(release, tuple(slices), inputs.architecture, files, merged_usr=True), readers
    )
    partial_names = [package.name for package in inputs.packages if package.role == "slice"]
    return SlicedImage(
        _cut_partial_packages(cut, partial_names, slices, tree, context.home),
        tuple(_generate(tree, cut.segments)),
        tree.notes,
    )


def _cut_partial_packages(
    cut: CutPackages, names: Iterable[str], slices: Sequence[Slice], tree: CutTree, home: Home
) -> CutPackages:
    """Return the packages, those in ``names`` with only what slices list."""
    slice_names: dict[str, list[str]] = {}
    for item in slices:
        slice_names.setdefault(item.package, []).append(item.name)
    segments, keys = dict(cut.segments), dict(cut.keys)
    for name in names:
        package = plan_partial_package(segments[name], slice_names[name], tree.tree)
        keys[name] = package.key(cut.keys[name])
        segments[name] = CACHE.get_or_compute(
            home, keys[name], partial(cut_partial_package, segments[name], package, home.blobs)
        )
    return msgspec.structs.replace(cut, segments=segments, keys=keys)


def _generate(tree: CutTree, segments: Mapping[str, Segment]) -> Iterator[GeneratedEntry]:
    """Yield what is in no segment under its path: what slices make, copy elsewhere or change."""
    shipped = {
        name: {item.entry.path for item in segment.items} | {entry.path for entry in segment.directories}
        for name, segment in segments.items()
    }
    everything = set().union(*shipped.values())
    for item in tree.tree.values():
        path = item.entry.path
        if item.package and path in shipped[item.package]:
            is_unchanged = item.entry.kind != "file" or item.source == path
            if is_unchanged:
                continue
        elif item.entry.kind == "dir" and path in everything:
            continue
        content = tree.read(item) if item.entry.kind == "file" else b""
        yield GeneratedEntry(entry=item.entry, content=content, origin=ORIGIN)
