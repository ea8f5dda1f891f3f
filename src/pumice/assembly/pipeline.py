"""One image, step by step: cut packages, merge them, apply effects, assemble layers, write the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import evidence, overlay, permissions, recipe_files
from pumice.assembly.draft_tree import DraftTree
from pumice.assembly.effect_cache import apply_effects
from pumice.assembly.image_checks import check_contents
from pumice.assembly.layer_assembly import LayerContents, assemble_layers
from pumice.assembly.manifests import write_manifest
from pumice.assembly.omission import omit_packages
from pumice.assembly.owners import OwnerTable, read_text
from pumice.assembly.package_segments import cut_packages, rework_segment
from pumice.assembly.platform import ExcludedFiles, GeneratedPaths, PlatformImage
from pumice.assembly.slice_image import slice_packages
from pumice.formats import oci, platforms
from pumice.packing import effects, layer_plan, merge, segments
from pumice.packing.effects.diversions import diversions_by_path
from pumice.packing.effects.merged_usr import link_merged_usr
from pumice.packing.tree import GeneratedEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.assembly.context import BuildContext
    from pumice.assembly.omission import LeanPackages
    from pumice.assembly.package_segments import CutPackages
    from pumice.assembly.platform import PlatformInputs
    from pumice.packing.compose import ComposedLayer
    from pumice.packing.effects import AppliedEffects
    from pumice.packing.excluded_paths import Exclusions
    from pumice.packing.merge import MergedTree
    from pumice.packing.recipe_entries import RecipeEntry
    from pumice.packing.segments import Segment
    from pumice.packing.tree import Node, Tree
    from pumice.store.blobs import Blobs


def assemble_platform(inputs: PlatformInputs, context: BuildContext) -> PlatformImage:
    """Assemble the image for ``inputs`` and return it; raises PumiceError.

    What the steps finish before an error stays in their caches.
    """
    _check_platform(inputs)
    blobs = context.home.blobs
    groups = layer_plan.plan_layers(
        [p for p in inputs.packages if p.role != "base-data"], inputs.recipe.layers
    )
    sliced = slice_packages(inputs, cut_packages(inputs, groups, context), context)
    cut = sliced.cut
    recipe_entries = recipe_files.collect_items(inputs.files)
    lean = omit_packages(inputs, cut, recipe_entries, context)
    inputs, cut = lean.inputs, lean.cut
    groups = layer_plan.keep_packages(groups, {p.name for p in inputs.packages if p.role != "base-data"})
    merged = merge.merge_segments(
        cut.segments, diversions_by_path(cut.segments), blobs, inputs.format, directories=cut.link_directories
    )
    settings = _effect_settings(inputs)
    effect_tree = merged.tree.with_packages(lean.script_facts).with_entries(
        [*sliced.entries, *lean.account_files]
    )
    draft = _draft_tree(inputs, recipe_entries, effect_tree, settings)
    outcome = apply_effects(settings, cut.keys | lean.omitted_keys, effect_tree, draft, context.home)
    generated = _generated_entries(merged, cut.segments, outcome, sliced.entries, blobs)
    tree = merged.tree.with_entries(generated)
    owners = OwnerTable(tree, draft)
    resolved = recipe_files.resolve_entries(inputs.files, recipe_entries, owners.resolve_ids, tree)
    added_entries = [*generated, *(entry for entry, _ in resolved)]
    nodes = overlay.overlay_nodes(merged.tree, outcome.removed_paths, outcome.directories, added_entries)
    permitted = permissions.change_permissions(inputs.recipe.permissions, nodes, generated, tree, owners)
    nodes, generated = permitted.nodes, permitted.generated
    changed_segments = _change_segments(cut, nodes, merged, inputs, context)
    recipe_paths = {entry.entry.path for entry, _ in resolved}
    contents = LayerContents(
        groups=groups,
        base_segments=_base_segments(inputs, changed_segments),
        segments=changed_segments,
        generated=[entry for entry in generated if entry.entry.path not in recipe_paths],
        recipe_entries=[layer_entry for _, layer_entry in resolved],
        nodes=nodes,
        permission_paths=permitted.paths,
        exclusions=cut.exclusions,
    )
    contents, differences = _run_scripts(contents, cut, merged, effect_tree, inputs, context)
    if differences:
        lean = _mark_not_reproducible(lean)
    contents, generated_paths = _run_programs(contents, cut, merged, inputs, context)
    layers = assemble_layers(contents, inputs.recipe.layers, context)
    image = _write_image(lean, contents, layers, merged, outcome, owners, context)
    return msgspec.structs.replace(
        image, generated=generated_paths or image.generated, not_reproducible=differences
    )


def _run_scripts(
    contents: LayerContents,
    cut: CutPackages,
    merged: MergedTree,
    tree: Tree,
    inputs: PlatformInputs,
    context: BuildContext,
) -> tuple[LayerContents, tuple[str, ...]]:
    """Return the contents with what package scripts write, if they run, and what differs between two runs."""
    if inputs.recipe.scripts != "sandbox":
        return contents, ()
    from pumice.assembly.package_scripts import run_package_scripts

    created = _creation_time(contents, context)
    contents, differences = run_package_scripts(contents, tree.packages, inputs, created, context)
    segments = _change_segments(cut, contents.nodes, merged, inputs, context)
    base = _base_segments(inputs, segments)
    return msgspec.structs.replace(contents, base_segments=base, segments=segments), differences


def _mark_not_reproducible(lean: LeanPackages) -> LeanPackages:
    recipe = lean.inputs.recipe
    annotations = {**recipe.annotations, oci.REPRODUCIBLE: "false"}
    recipe = msgspec.structs.replace(recipe, annotations=annotations)
    return msgspec.structs.replace(lean, inputs=msgspec.structs.replace(lean.inputs, recipe=recipe))


def _run_programs(
    contents: LayerContents,
    cut: CutPackages,
    merged: MergedTree,
    inputs: PlatformInputs,
    context: BuildContext,
) -> tuple[LayerContents, GeneratedPaths | None]:
    """Return the contents with what programs of the image make: byte code, and files of ``generate``."""
    if inputs.recipe.python.bytecode:
        from pumice.assembly.bytecode_cache import get_bytecode

        contents = msgspec.structs.replace(contents, bytecode=get_bytecode(contents, inputs, context))
    if not inputs.recipe.generate:
        return contents, None
    from pumice.assembly.generate_cache import add_output, get_output

    output = get_output(contents, inputs, _creation_time(contents, context), context)
    contents = add_output(contents, output)
    changed_segments = _change_segments(cut, contents.nodes, merged, inputs, context)
    contents = msgspec.structs.replace(
        contents, base_segments=_base_segments(inputs, changed_segments), segments=changed_segments
    )
    kept = tuple(sorted(entry.path for entry in output.entries()))
    return contents, GeneratedPaths(kept, output.dropped)


def _check_platform(inputs: PlatformInputs) -> None:
    """Raise ImageError if programs of the image must run and cannot, before anything is fetched."""
    platform = platforms.from_debian(inputs.architecture)
    if inputs.recipe.python.bytecode:
        from pumice.assembly import bytecode

        bytecode.check_platform(platform)
    if inputs.recipe.scripts == "sandbox":
        from pumice.assembly import image_programs

        image_programs.check_platform(
            platform, "run the scripts of packages", "programs of the image", "'scripts'"
        )
    if inputs.recipe.generate:
        from pumice.assembly import image_programs

        image_programs.check_platform(
            platform, "run the commands of 'generate'", "programs of the image", "'generate'"
        )


def _base_segments(inputs: PlatformInputs, package_segments: Mapping[str, Segment]) -> list[Segment]:
    return [package_segments[package.name] for package in inputs.packages if package.role == "base-data"]


def _creation_time(contents: LayerContents, context: BuildContext) -> int:
    """Return the time of the image: ``SOURCE_DATE_EPOCH``, or that of the newest file of a package."""
    newest = max((segment.newest for segment in contents.segments.values()), default=0)
    return newest if context.source_date_epoch is None else context.source_date_epoch


def _draft_tree(
    inputs: PlatformInputs,
    recipe_entries: Sequence[RecipeEntry],
    tree: Tree,
    settings: effects.EffectSettings,
) -> DraftTree | None:
    """Return the tree that effects see with the recipe's own files, None for formats before 2."""
    if inputs.format < 2:
        return None
    aliases = link_merged_usr(effects.EffectInput(tree, settings, {})).generated
    return DraftTree(inputs.files, recipe_entries, tree, tree.with_entries(aliases))


def _change_segments(
    cut: CutPackages,
    nodes: Mapping[str, Node],
    merged: MergedTree,
    inputs: PlatformInputs,
    context: BuildContext,
) -> dict[str, Segment]:
    """Return the segments of the packages without the files that effects and other packages replace."""
    return {
        name: rework_segment(
            cut.keys[name],
            segment,
            overlay.segment_changes(name, segment, nodes, merged.hidden.get(name, ()), inputs.format),
            context.home,
        )
        for name, segment in cut.segments.items()
    }


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


def _generated_entries(
    merged: MergedTree,
    package_segments: Mapping[str, Segment],
    outcome: AppliedEffects,
    slice_entries: Sequence[GeneratedEntry],
    blobs: Blobs,
) -> list[GeneratedEntry]:
    """Return the entries of the tree that are in no package under their path; effects come last."""
    replaced = {item.entry.path for item in outcome.generated} | set(outcome.removed_paths)
    return [
        *_diverted_files(merged, package_segments, blobs),
        *_link_directories(merged, outcome),
        *(item for item in slice_entries if item.entry.path not in replaced),
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


def _write_image(
    lean: LeanPackages,
    contents: LayerContents,
    layers: list[ComposedLayer],
    merged: MergedTree,
    outcome: AppliedEffects,
    owners: OwnerTable,
    context: BuildContext,
) -> PlatformImage:
    """Write the config, the manifest and the facts of an image whose layers are finished."""
    inputs = lean.inputs
    created = _creation_time(contents, context)
    user = owners.config_user(inputs.recipe.run.user)
    manifest, config = write_manifest(
        inputs.recipe, inputs.architecture, layers, created=created, user=user, blobs=context.home.blobs
    )
    tree = merged.tree.with_entries(outcome.generated)
    os_release = read_text(tree, "usr/lib/os-release") or read_text(tree, "etc/os-release")
    return PlatformImage(
        manifest=manifest,
        config=config,
        created=created,
        ids=outcome.ids,
        layers=tuple((layer.title, layer.layer) for layer in layers),
        facts=evidence.write_image_facts(
            inputs,
            contents,
            layers,
            (manifest, config),
            created,
            os_release,
            omitted=lean.decision.omitted,
            home=context.home,
        ),
        skipped_actions={} if inputs.recipe.scripts == "sandbox" else _skipped_actions(outcome, lean),
        omission=lean.decision,
        notes=merged.notes,
        excluded=_list_excluded_files(contents.exclusions) if contents.exclusions else (),
        findings=check_contents(inputs.recipe, contents, context.home.blobs),
    )


def _skipped_actions(outcome: AppliedEffects, lean: LeanPackages) -> dict[str, tuple[str, ...]]:
    """Return the skipped actions by package, without those of packages that are left out."""
    return {
        name: tuple(actions)
        for name, actions in sorted(outcome.skipped_actions.items())
        if name not in lean.decision.names
    }


def _list_excluded_files(exclusions: Exclusions) -> tuple[ExcludedFiles, ...]:
    return tuple(
        ExcludedFiles(pattern=use.pattern, package=use.package, files=use.files, size=use.size)
        for use in exclusions.uses
    )
