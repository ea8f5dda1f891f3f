"""The making of one image, step by step: cut, merge, apply effects, put layers together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import layer_assembly, overlay, recipe_files
from pumice.assembly.draft_tree import DraftTree
from pumice.assembly.effect_cache import apply_effects
from pumice.assembly.platform import PlatformImage, PlatformInputs
from pumice.assembly.segment_cutter import SegmentRequest, cut_segments, recall, remember
from pumice.formats import platforms
from pumice.packing import effects, layer_plan, merge, segments
from pumice.packing.config import numeric_user
from pumice.packing.effects.diversions import diversions_by_path
from pumice.packing.effects.merged_usr import link_merged_usr
from pumice.packing.link_targets import find_link_targets
from pumice.packing.segments import Segment
from pumice.packing.selection import Selection
from pumice.packing.tree import GeneratedEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pumice.assembly.recipe_files import RecipeFiles
    from pumice.digest import Digest
    from pumice.packing.compose import ComposedLayer
    from pumice.packing.effects import AppliedEffects
    from pumice.packing.layer_plan import LayerGroup
    from pumice.packing.merge import MergedTree
    from pumice.packing.tree import Node, Tree
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedPackage
    from pumice.store.home import Home


def assemble_platform(
    inputs: PlatformInputs,
    files: RecipeFiles,
    fetch: Callable[[LockedPackage], Digest],
    home: Home,
    processors: int,
    progress: Progress,
) -> PlatformImage:
    """Make the image. Raises PumiceError; leaves nothing half done."""
    if inputs.recipe.python.bytecode:
        from pumice.assembly import bytecode

        bytecode.check_platform(platforms.from_debian(inputs.architecture))  # before much is fetched in vain
    groups = layer_plan.plan_layers(
        [p for p in inputs.packages if p.role != "base-data"], inputs.recipe.layers
    )
    wanted = _wanted(inputs, groups)
    parts = cut_segments(wanted, fetch, home, processors=processors, progress=progress)
    wanted, parts, directories = _with_link_targets(
        inputs.format, wanted, parts, fetch, home, processors, progress
    )
    keys = {item.package.name: item.key for item in wanted}
    merged = merge.merge_segments(
        parts, diversions_by_path(parts), home.blobs, inputs.format, directories=directories
    )
    settings, items = _settings(inputs), recipe_files.collect_items(files)
    draft = None
    if inputs.format >= 2:
        aliases = link_merged_usr(effects.EffectInput(merged.tree, settings, {})).generated
        draft = DraftTree(files, items, merged.tree, merged.tree.with_entries(aliases))
    outcome = apply_effects(settings, keys, merged.tree, draft, home)
    generated = [*_diverted(merged, parts, home), *_link_targets(merged, outcome), *outcome.generated]
    tree = merged.tree.with_entries(generated)
    owners = _OwnerTable(tree, draft)
    own = recipe_files.resolve_entries(files, items, owners, tree)
    over = [*generated, *(item for item, _ in own)]
    nodes = overlay.overlay_nodes(merged.tree, outcome.removed, outcome.directories, over)
    parts = {
        name: _reworked(name, part, keys[name], nodes, merged, inputs.format, home)
        for name, part in parts.items()
    }
    own_paths = {item.entry.path for item, _ in own}
    plan = layer_assembly.LayerContents(
        groups=groups,
        base_segments=[parts[p.name] for p in inputs.packages if p.role == "base-data"],
        segments=parts,
        generated=[item for item in generated if item.entry.path not in own_paths],
        recipe_entries=[made for _, made in own],
        nodes=nodes,
        format=inputs.format,
    )
    if inputs.recipe.python.bytecode:
        from pumice.assembly.bytecode_cache import get_bytecode

        made = get_bytecode(plan, inputs, home, processors, progress)
        plan = msgspec.structs.replace(plan, bytecode=made)
    finished = layer_assembly.assemble_layers(plan, inputs.recipe.layers, home, processors)
    return _image(inputs, plan, finished, merged, outcome, owners, home)


def _settings(inputs: PlatformInputs) -> effects.EffectSettings:
    return effects.EffectSettings(
        architecture=inputs.architecture,
        base=inputs.recipe.base,
        include=inputs.recipe.include,
        users=inputs.recipe.users,
        groups=inputs.recipe.groups,
        ids=inputs.ids,
        format=inputs.format,
    )


def _wanted(inputs: PlatformInputs, groups: tuple[LayerGroup, ...]) -> list[SegmentRequest]:
    alone = {name for group in groups if group.has_own_layer for name in group.packages}
    include = tuple(sorted(set(inputs.recipe.include)))
    return [
        SegmentRequest(
            package,
            Selection(
                include=include,
                includes_dpkg_info=package.role != "base-data",
                has_own_layer=package.name in alone,
                format=inputs.format,
            ),
        )
        for package in inputs.packages
    ]


def _with_link_targets(
    lock_format: int,
    wanted: list[SegmentRequest],
    parts: dict[str, Segment],
    fetch: Callable[[LockedPackage], Digest],
    home: Home,
    processors: int,
    progress: Progress,
) -> tuple[list[SegmentRequest], dict[str, Segment], tuple[str, ...]]:
    """Cut once more those packages in which links have their targets, and what these link to.

    Return what was cut in the end, all segments, and the directories that stay for links alone.
    """
    while True:
        targets = find_link_targets(parts, lock_format)
        again = {item.package.name: item for item in _keeping(wanted, targets.keep)}
        if not again:
            return wanted, parts, targets.directories
        wanted = [again.get(item.package.name, item) for item in wanted]
        parts = parts | cut_segments([*again.values()], fetch, home, processors=processors, progress=progress)
        if lock_format < 2:
            return wanted, parts, ()


def _keeping(wanted: list[SegmentRequest], keep: Mapping[str, Sequence[str]]) -> Iterator[SegmentRequest]:
    """Yield those of ``wanted`` that keep more than before, with all that they keep."""
    for item in wanted:
        paths = tuple(sorted({*item.selection.keep, *keep.get(item.package.name, ())}))
        if paths != item.selection.keep:
            yield SegmentRequest(item.package, msgspec.structs.replace(item.selection, keep=paths))


def _diverted(merged: MergedTree, parts: Mapping[str, Segment], home: Home) -> list[GeneratedEntry]:
    """Return the files that a diversion moves out of the way (dpkg-divert(1))."""
    moved = []
    for name, path, new_path in merged.diverted:
        entry = next(item.entry for item in parts[name].items if item.entry.path == path)
        content = segments.content_reader(parts[name], home.blobs)(path) if entry.kind == "file" else b""
        placed = msgspec.structs.replace(entry, path=new_path)
        moved.append(GeneratedEntry(entry=placed, content=content, origin="diversions"))
    return moved


def _link_targets(merged: MergedTree, outcome: AppliedEffects) -> Iterator[GeneratedEntry]:
    """Yield the directories that are there because links point at them, as effects leave them."""
    for entry in merged.directories:
        final = outcome.directories.get(entry.path, entry)
        yield GeneratedEntry(entry=msgspec.structs.replace(final, mtime=0), origin="link targets")


def _reworked(
    name: str,
    part: Segment,
    key: Digest,
    nodes: Mapping[str, Node],
    merged: MergedTree,
    lock_format: int,
    home: Home,
) -> Segment:
    changes = overlay.segment_changes(name, part, nodes, merged.hidden.get(name, ()), lock_format)
    if not changes:
        return part
    where = segments.changed_segment_key(key, changes)
    known = recall(where, home)
    if known is None:
        known = segments.change_segment(part, changes, home.blobs)
        remember(where, known, home)
    return known


class _OwnerTable:
    """A recipe's ``user[:group]`` to the numbers that the image's own tables give them.

    Tables among the recipe's own files come first: they are what the image will have.
    """

    def __init__(self, tree: Tree, draft: DraftTree | None) -> None:
        self._passwd, self._group = (
            "\n".join([draft.read_text(path) if draft else "", _text(tree, path)])
            for path in ("etc/passwd", "etc/group")
        )

    def __call__(self, owner: str) -> tuple[int, int]:
        user, _, group = owner.partition(":")
        uid = numeric_user(user, self._passwd, self._group)
        gid = numeric_user(f"0:{group}", self._passwd, self._group).partition(":")[2] if group else ""
        return int(uid or 0), int(gid or self._primary(uid))

    def _primary(self, uid: str) -> str:
        for line in self._passwd.splitlines():
            fields = line.split(":")
            if len(fields) > 3 and fields[2] == uid:
                return fields[3]
        return uid or "0"

    def config_user(self, owner: str) -> str:
        """Return ``owner`` for an image's config: numbers, so that engines can tell it is not root."""
        return numeric_user(owner, self._passwd, self._group)


def _text(tree: Tree, path: str) -> str:
    try:
        return tree.read(path).decode("utf-8", "replace")
    except KeyError:
        return ""


def _image(
    inputs: PlatformInputs,
    plan: layer_assembly.LayerContents,
    finished: list[ComposedLayer],
    merged: MergedTree,
    outcome: AppliedEffects,
    owners: _OwnerTable,
    home: Home,
) -> PlatformImage:
    newest = max((part.newest for part in plan.segments.values()), default=0)
    created = newest if inputs.source_date_epoch is None else inputs.source_date_epoch
    tree = merged.tree.with_entries(outcome.generated)
    user = owners.config_user(inputs.recipe.run.user)
    manifest, config = layer_assembly.write_manifest(
        inputs.recipe, inputs.architecture, finished, created=created, user=user, blobs=home.blobs
    )
    from pumice.assembly import evidence

    release = _text(tree, "usr/lib/os-release") or _text(tree, "etc/os-release")
    return PlatformImage(
        manifest=manifest,
        config=config,
        created=created,
        ids=outcome.ids,
        layers=tuple((one.title, one.layer) for one in finished),
        facts=evidence.write_image_facts(inputs, plan, finished, (manifest, config), created, release, home),
        skipped_actions={name: tuple(actions) for name, actions in sorted(outcome.skipped_actions.items())},
        notes=merged.notes,
    )
