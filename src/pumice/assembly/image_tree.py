"""The tree of an image: its packages, what effects add and remove, and the recipe's own files on top."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import overlay, permissions, recipe_files
from pumice.assembly.draft_tree import DraftTree
from pumice.assembly.effect_cache import apply_effects
from pumice.assembly.owners import OwnerTable
from pumice.packing import effects, segments
from pumice.packing.effects.merged_usr import link_merged_usr
from pumice.packing.tree import GeneratedEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.assembly.context import BuildContext
    from pumice.assembly.merged_packages import MergedPackages
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.packing.compose import LayerEntry
    from pumice.packing.effects import AppliedEffects
    from pumice.packing.merge import MergedTree
    from pumice.packing.segments import Segment
    from pumice.packing.tree import Node
    from pumice.store.blobs import Blobs


class ImageTree(msgspec.Struct, frozen=True, kw_only=True):
    """The tree of an image before any of its programs run.

    ``nodes`` has all paths. ``generated`` are those that are in no package under their path, and
    ``recipe_entries`` the recipe's own. ``permission_paths`` are the paths whose mode or owner the recipe
    changes.
    """

    outcome: AppliedEffects
    owners: OwnerTable
    nodes: Mapping[str, Node]
    generated: list[GeneratedEntry]
    recipe_entries: list[LayerEntry]
    permission_paths: frozenset[str]


def fill_tree(packages: MergedPackages, context: BuildContext) -> ImageTree:
    """Return the tree of ``packages`` with effects and the recipe's files; raises PumiceError."""
    inputs, package_tree = packages.inputs, packages.merged.tree
    settings = _effect_settings(inputs)
    draft = _draft_tree(packages, settings)
    effect_keys = packages.lean.cut.keys | packages.lean.omitted_keys
    outcome = apply_effects(settings, effect_keys, packages.effect_tree, draft, context.home)
    generated = _generated_entries(packages, outcome, context.home.blobs)
    tree = package_tree.with_entries(generated)
    owners = OwnerTable(tree, draft)
    resolved = recipe_files.resolve_entries(inputs.files, packages.recipe_entries, owners.resolve_ids, tree)
    added_entries = [*generated, *(entry for entry, _ in resolved)]
    nodes = overlay.overlay_nodes(package_tree, outcome.removed_paths, outcome.directories, added_entries)
    permitted = permissions.change_permissions(inputs.recipe.permissions, nodes, generated, tree, owners)
    recipe_paths = {entry.entry.path for entry, _ in resolved}
    return ImageTree(
        outcome=outcome,
        owners=owners,
        nodes=permitted.nodes,
        generated=[entry for entry in permitted.generated if entry.entry.path not in recipe_paths],
        recipe_entries=[layer_entry for _, layer_entry in resolved],
        permission_paths=permitted.paths,
    )


def _effect_settings(inputs: PlatformInputs) -> effects.EffectSettings:
    return effects.EffectSettings(
        architecture=inputs.architecture,
        base=inputs.recipe.base,
        include=inputs.recipe.include,
        users=inputs.recipe.users,
        groups=inputs.recipe.groups,
        ids=inputs.ids,
        format=inputs.format,
    )


def _draft_tree(packages: MergedPackages, settings: effects.EffectSettings) -> DraftTree | None:
    """Return the tree that effects see with the recipe's own files, None for formats before 2."""
    if packages.inputs.format < 2:
        return None
    tree = packages.effect_tree
    aliases = link_merged_usr(effects.EffectInput(tree, settings, {})).generated
    return DraftTree(packages.inputs.files, packages.recipe_entries, tree, tree.with_entries(aliases))


def _generated_entries(
    packages: MergedPackages, outcome: AppliedEffects, blobs: Blobs
) -> list[GeneratedEntry]:
    """Return the entries of the tree that are in no package under their path; effects come last."""
    replaced = {item.entry.path for item in outcome.generated} | set(outcome.removed_paths)
    return [
        *_diverted_files(packages.merged, packages.lean.cut.segments, blobs),
        *_link_directories(packages.merged, outcome),
        *(item for item in packages.slice_entries if item.entry.path not in replaced),
        *outcome.generated,
    ]


def _diverted_files(
    merged: MergedTree, package_segments: Mapping[str, Segment], blobs: Blobs
) -> Iterator[GeneratedEntry]:
    """Yield the files that a diversion renames (dpkg-divert(1)), under their new paths."""
    for name, path, new_path in merged.diverted:
        segment = package_segments[name]
        entry = next(item.entry for item in segment.items if item.entry.path == path)
        content = segments.content_reader(segment, blobs)(path) if entry.kind == "file" else b""
        renamed = msgspec.structs.replace(entry, path=new_path)
        yield GeneratedEntry(entry=renamed, content=content, origin="diversions")


def _link_directories(merged: MergedTree, outcome: AppliedEffects) -> Iterator[GeneratedEntry]:
    """Yield the directories that exist only because links point at them, as effects leave them."""
    for entry in merged.directories:
        final_entry = outcome.directories.get(entry.path, entry)
        yield GeneratedEntry(entry=msgspec.structs.replace(final_entry, mtime=0), origin="link targets")
