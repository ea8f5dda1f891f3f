"""The packages of an image as one tree: cut, sliced, without those that nothing uses, and merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import overlay, recipe_files
from pumice.assembly.omission import omit_packages
from pumice.assembly.package_segments import cut_packages, rework_segment, without_excluded_paths
from pumice.assembly.slice_image import find_slices, slice_packages
from pumice.packing import layer_plan, merge
from pumice.packing.effects.diversions import diversions_by_path
from pumice.slices.selection import list_extracted_paths

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.context import BuildContext
    from pumice.assembly.omission import LeanPackages
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.packing.layer_plan import LayerGroup
    from pumice.packing.merge import MergedTree
    from pumice.packing.recipe_entries import RecipeEntry
    from pumice.packing.segments import Segment
    from pumice.packing.tree import GeneratedEntry, Node, Tree
    from pumice.recipe.lock import LockedPackage


class MergedPackages(msgspec.Struct, frozen=True, kw_only=True):
    """The packages of an image, their layers and their tree, before effects.

    ``effect_tree`` is what effects see: also what slices make (``slice_entries``), and the scripts and
    accounts of packages that are left out. ``recipe_entries`` are the recipe's own files, without owners.
    """

    lean: LeanPackages
    groups: tuple[LayerGroup, ...]
    merged: MergedTree
    effect_tree: Tree
    slice_entries: Sequence[GeneratedEntry]
    recipe_entries: Sequence[RecipeEntry]

    @property
    def inputs(self) -> PlatformInputs:
        """What decides the image, without the packages that are left out."""
        return self.lean.inputs


def merge_packages(inputs: PlatformInputs, context: BuildContext) -> MergedPackages:
    """Cut, slice, omit and merge the packages of an image; raises PumiceError."""
    groups = layer_plan.plan_layers(_list_layered(inputs), inputs.recipe.layers)
    slices = find_slices(inputs, context)
    listed_paths = list_extracted_paths(slices.slices, inputs.architecture) if slices else {}
    sliced = slice_packages(inputs, cut_packages(inputs, groups, listed_paths, context), slices, context)
    cut = without_excluded_paths(sliced.cut, inputs.recipe, context.home)
    recipe_entries = recipe_files.collect_items(inputs.files)
    lean = omit_packages(inputs, cut, recipe_entries, context)
    segments = lean.cut.segments
    merged = merge.merge_segments(
        segments,
        diversions_by_path(segments),
        context.home.blobs,
        inputs.format,
        directories=lean.cut.link_directories,
    )
    return MergedPackages(
        lean=lean,
        groups=layer_plan.keep_packages(groups, {package.name for package in _list_layered(lean.inputs)}),
        merged=merged,
        effect_tree=merged.tree.with_packages(lean.script_facts).with_entries(
            [*sliced.entries, *lean.account_files]
        ),
        slice_entries=sliced.entries,
        recipe_entries=recipe_entries,
    )


def _list_layered(inputs: PlatformInputs) -> list[LockedPackage]:
    """Return the packages that the plan of layers is about; the others are part of the base."""
    return [package for package in inputs.packages if package.role != "base-data"]


def rework_segments(
    packages: MergedPackages, nodes: Mapping[str, Node], context: BuildContext
) -> dict[str, Segment]:
    """Return the segments by package name, without the files that ``nodes`` of the image replace."""
    cut, hidden = packages.lean.cut, packages.merged.hidden
    return {
        name: rework_segment(
            cut.keys[name],
            segment,
            overlay.segment_changes(name, segment, nodes, hidden.get(name, ()), packages.inputs.format),
            context.home,
        )
        for name, segment in cut.segments.items()
    }
