"""Effects: what maintainer scripts would have left behind, computed without running them.

An effect is a function from the tree of all packages, with the results of earlier effects, to new
entries. `EFFECTS` lists them in their order, and `apply` applies them.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.packing.effects.alternatives import link_alternatives
from pumice.packing.effects.ca_certificates import install_ca_certificates
from pumice.packing.effects.dpkg_database import write_dpkg_database
from pumice.packing.effects.java_key_store import create_java_key_store
from pumice.packing.effects.loader_cache import write_loader_cache
from pumice.packing.effects.machine_id import create_machine_id
from pumice.packing.effects.merged_usr import link_merged_usr
from pumice.packing.effects.model import AppliedEffects, Effect, EffectInput, EffectSettings, directory_entry
from pumice.packing.effects.name_service import configure_name_service
from pumice.packing.effects.pam_stacks import write_pam_stacks
from pumice.packing.effects.scripted_files import create_scripted_files
from pumice.packing.effects.scripts.maintainer_scripts import collect_actions
from pumice.packing.effects.service_directories import create_service_directories
from pumice.packing.effects.shells import list_shells
from pumice.packing.effects.skipped_script_actions import find_skipped_actions
from pumice.packing.effects.temporary_directories import create_temporary_directories
from pumice.packing.effects.tmpfiles import create_tmpfiles
from pumice.packing.effects.users import NONROOT, create_accounts
from pumice.packing.effects.var_run import link_var_run
from pumice.packing.tree import RECIPE_OWNER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.formats.tar import Entry
    from pumice.packing.tree import GeneratedEntry, Tree

__all__ = ["EFFECTS", "NONROOT", "AppliedEffects", "Effect", "EffectInput", "EffectSettings", "apply"]

EFFECTS: tuple[Effect, ...] = (
    link_merged_usr,  # first, because every later path goes through these links
    link_var_run,
    create_temporary_directories,
    create_accounts,  # before every effect that sets an owner
    configure_name_service,
    write_pam_stacks,
    install_ca_certificates,
    create_java_key_store,
    create_scripted_files,  # after the effects that compute a file's content themselves
    create_tmpfiles,
    create_service_directories,  # after tmpfiles, which may create the same directories
    list_shells,
    create_machine_id,
    link_alternatives,  # after scripted files, which may be targets
    write_loader_cache,  # after alternatives, which may be links to libraries
    write_dpkg_database,  # last, because it keeps what earlier effects wrote into dpkg's directory
)


def apply(tree: Tree, settings: EffectSettings) -> AppliedEffects:
    """Return what all effects add to the files of the packages and of the recipe.

    The result depends only on the arguments. Raises ImageError if two accounts need the same id, or
    if an image cannot hold something that a package ships.
    """
    original_tree = tree
    usr_links = link_merged_usr(EffectInput(tree, settings, {}))  # scripts test for paths such as /bin/sh
    script_actions, failed_packages = collect_actions(
        tree.with_entries(usr_links.generated), settings.architecture, settings.format
    )
    entries: dict[str, GeneratedEntry] = {}
    removed_paths: dict[str, None] = {}
    skipped_actions: list[tuple[str, str]] = list(
        find_skipped_actions(tree.packages, script_actions, failed_packages, settings.format)
    )
    ids = settings.ids
    recipe_paths = _find_recipe_paths(tree, settings)
    for effect in EFFECTS:
        effect_result = effect(EffectInput(tree, settings, script_actions))
        generated = (*_find_missing_parents(effect_result.generated, tree), *effect_result.generated)
        entries |= {entry.entry.path: entry for entry in generated}
        removed_paths |= dict.fromkeys(effect_result.removed_paths)
        skipped_actions += effect_result.skipped_actions
        ids = effect_result.ids or ids
        # The recipe's own file wins over an effect's, in the image and for later effects.
        tree = tree.with_entries(
            [entry for entry in generated if entry.entry.path not in recipe_paths],
            effect_result.removed_paths,
        )
    new_entries, directories = _split_directory_changes(entries, original_tree)
    return AppliedEffects(
        generated=new_entries,
        removed_paths=tuple(sorted(path for path in removed_paths if path not in entries)),
        directories=directories,
        ids=ids,
        skipped_actions=_group_by_package(skipped_actions),
    )


def _find_recipe_paths(tree: Tree, settings: EffectSettings) -> frozenset[str]:
    if settings.format < 2:
        return frozenset()
    return frozenset(
        path for path, node in tree.nodes.items() if node.owner == RECIPE_OWNER and node.entry.kind != "dir"
    )


def _find_missing_parents(generated: Sequence[GeneratedEntry], tree: Tree) -> Iterable[GeneratedEntry]:
    """Yield the missing parent directories of the entries of an effect."""
    known_paths = {entry.entry.path for entry in generated}
    for entry in generated:
        parent = posixpath.dirname(entry.entry.path)
        while parent and parent not in known_paths and parent not in tree.nodes:
            known_paths.add(parent)
            yield directory_entry(parent, entry.origin)
            parent = posixpath.dirname(parent)


def _split_directory_changes(
    entries: dict[str, GeneratedEntry], original_tree: Tree
) -> tuple[tuple[GeneratedEntry, ...], dict[str, Entry]]:
    """Separate changed attributes of packages' directories from new and replaced entries."""
    generated: list[GeneratedEntry] = []
    directories: dict[str, Entry] = {}
    for path in sorted(entries):
        node = original_tree.get(path)
        entry = entries[path].entry
        if node is None or node.entry.kind != "dir" or entry.kind != "dir":
            generated.append(entries[path])
        elif entry != node.entry:
            directories[path] = msgspec.structs.replace(entry, mtime=node.entry.mtime)
    return tuple(generated), directories


def _group_by_package(skipped_actions: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    actions_by_package: dict[str, set[str]] = {}
    for package, action in skipped_actions:
        actions_by_package.setdefault(package, set()).add(action)
    return {package: tuple(sorted(actions_by_package[package])) for package in sorted(actions_by_package)}
