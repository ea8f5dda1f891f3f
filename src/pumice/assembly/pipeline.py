"""One image, step by step: merge its packages, apply effects, assemble layers, write the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import evidence
from pumice.assembly.image_checks import check_contents
from pumice.assembly.image_tree import fill_tree
from pumice.assembly.layer_assembly import LayerContents, assemble_layers
from pumice.assembly.manifests import write_manifest
from pumice.assembly.merged_packages import merge_packages, rework_segments
from pumice.assembly.owners import read_text
from pumice.assembly.platform_model import ExcludedFiles, GeneratedPaths, PlatformImage
from pumice.formats import oci, platforms

if TYPE_CHECKING:
    from pumice.assembly.context import BuildContext
    from pumice.assembly.image_tree import ImageTree
    from pumice.assembly.merged_packages import MergedPackages
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.omission.model import Decision
    from pumice.packing.compose import ComposedLayer
    from pumice.packing.effects import AppliedEffects
    from pumice.packing.excluded_paths import Exclusions


def assemble_platform(inputs: PlatformInputs, context: BuildContext) -> PlatformImage:
    """Assemble the image for ``inputs`` and return it; raises PumiceError.

    What the steps finish before an error stays in their caches.
    """
    _check_platform(inputs)
    packages = merge_packages(inputs, context)
    tree = fill_tree(packages, context)
    contents = _collect_contents(packages, tree, context)
    contents, differences = _run_scripts(contents, packages, context)
    contents, generated_paths = _run_programs(contents, packages, context)
    layers = assemble_layers(contents, inputs.recipe.layers, context)
    inputs = _mark_not_reproducible(packages.inputs) if differences else packages.inputs
    image = _write_image(inputs, packages, tree, contents, layers, context)
    return msgspec.structs.replace(image, generated=generated_paths, not_reproducible=differences)


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


def _collect_contents(packages: MergedPackages, tree: ImageTree, context: BuildContext) -> LayerContents:
    base_packages = (package for package in packages.inputs.packages if package.role == "base-data")
    return LayerContents(
        groups=packages.groups,
        base_packages=[package.name for package in base_packages],
        segments=rework_segments(packages, tree.nodes, context),
        generated=tree.generated,
        recipe_entries=tree.recipe_entries,
        nodes=tree.nodes,
        permission_paths=tree.permission_paths,
        exclusions=packages.lean.cut.exclusions,
    )


def _run_scripts(
    contents: LayerContents, packages: MergedPackages, context: BuildContext
) -> tuple[LayerContents, tuple[str, ...]]:
    """Return the contents with what package scripts write, if they run, and what differs between two runs."""
    if packages.inputs.recipe.scripts != "sandbox":
        return contents, ()
    from pumice.assembly.package_scripts import run_package_scripts

    contents, differences = run_package_scripts(
        *(contents, packages.effect_tree.packages, packages.inputs),
        created=_creation_time(contents, context),
        context=context,
    )
    return _without_replaced_files(contents, packages, context), differences


def _run_programs(
    contents: LayerContents, packages: MergedPackages, context: BuildContext
) -> tuple[LayerContents, GeneratedPaths]:
    """Return the contents with what programs of the image make: byte code, and files of ``generate``."""
    inputs = packages.inputs
    if inputs.recipe.python.bytecode:
        from pumice.assembly.bytecode_cache import get_bytecode

        contents = msgspec.structs.replace(contents, bytecode=get_bytecode(contents, inputs, context))
    if not inputs.recipe.generate:
        return contents, GeneratedPaths()
    from pumice.assembly.generate_cache import add_output, get_output

    output = get_output(contents, inputs, _creation_time(contents, context), context)
    contents = _without_replaced_files(add_output(contents, output), packages, context)
    kept = tuple(sorted(entry.path for entry in output.entries()))
    return contents, GeneratedPaths(kept, output.dropped)


def _without_replaced_files(
    contents: LayerContents, packages: MergedPackages, context: BuildContext
) -> LayerContents:
    """Return the contents whose segments lack the files that programs of the image replaced."""
    return msgspec.structs.replace(contents, segments=rework_segments(packages, contents.nodes, context))


def _creation_time(contents: LayerContents, context: BuildContext) -> int:
    """Return the time of the image: ``SOURCE_DATE_EPOCH``, or that of the newest file of a package."""
    newest = max((segment.newest for segment in contents.segments.values()), default=0)
    return newest if context.source_date_epoch is None else context.source_date_epoch


def _mark_not_reproducible(inputs: PlatformInputs) -> PlatformInputs:
    annotations = {**inputs.recipe.annotations, oci.REPRODUCIBLE: "false"}
    return msgspec.structs.replace(
        inputs, recipe=msgspec.structs.replace(inputs.recipe, annotations=annotations)
    )


def _write_image(
    inputs: PlatformInputs,
    packages: MergedPackages,
    tree: ImageTree,
    contents: LayerContents,
    layers: list[ComposedLayer],
    context: BuildContext,
) -> PlatformImage:
    """Write the config, the manifest and the facts of an image whose layers are finished."""
    created = _creation_time(contents, context)
    user = tree.owners.config_user(inputs.recipe.run.user)
    manifest, config = write_manifest(
        inputs.recipe, inputs.architecture, layers, created=created, user=user, blobs=context.home.blobs
    )
    outcome, omission = tree.outcome, packages.lean.decision
    return PlatformImage(
        manifest=manifest,
        config=config,
        created=created,
        ids=outcome.ids,
        layers=tuple((layer.title, layer.layer) for layer in layers),
        facts=evidence.write_image_facts(
            *(inputs, contents, layers, (manifest, config), created),
            _read_os_release(packages, outcome),
            omitted=omission.omitted,
            home=context.home,
        ),
        skipped_actions={} if inputs.recipe.scripts == "sandbox" else _skipped_actions(outcome, omission),
        omission=omission,
        notes=packages.merged.notes,
        excluded=_list_excluded_files(contents.exclusions) if contents.exclusions else (),
        findings=check_contents(inputs.recipe, contents, context.home.blobs),
    )


def _read_os_release(packages: MergedPackages, outcome: AppliedEffects) -> str:
    tree = packages.merged.tree.with_entries(outcome.generated)
    return read_text(tree, "usr/lib/os-release") or read_text(tree, "etc/os-release")


def _skipped_actions(outcome: AppliedEffects, omission: Decision) -> dict[str, tuple[str, ...]]:
    """Return the skipped actions by package, without those of packages that are left out."""
    return {
        name: tuple(actions)
        for name, actions in sorted(outcome.skipped_actions.items())
        if name not in omission.names
    }


def _list_excluded_files(exclusions: Exclusions) -> tuple[ExcludedFiles, ...]:
    return tuple(
        ExcludedFiles(pattern=use.pattern, package=use.package, files=use.files, size=use.size)
        for use in exclusions.uses
    )
