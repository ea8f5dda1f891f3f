"""What maintainer scripts would have left behind, made without running them.

Each effect is a small function of the tree: it sees the packages' files and what earlier effects
made, and answers with entries. The table below is the order. `apply` runs it.
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
    link_merged_usr,  # first: every later path goes through these links
    link_var_run,
    create_temporary_directories,
    create_accounts,  # before all that has owners
    configure_name_service,
    write_pam_stacks,
    install_ca_certificates,
    create_java_key_store,
    create_scripted_files,  # after all that knows better what a file of its own must hold
    create_tmpfiles,
    list_shells,
    create_machine_id,
    link_alternatives,  # after files, which may bring targets
    write_loader_cache,  # after alternatives, which may link libraries
    write_dpkg_database,  # last: keeps what earlier effects wrote into dpkg's folder
)


def apply(tree: Tree, settings: EffectSettings) -> AppliedEffects:
    """Return what all effects add to the files of the packages and of the recipe.

    Depends on nothing but its arguments. Raises ImageError where ids clash or something in a
    package cannot be an image's.
    """
    original = tree
    links = link_merged_usr(EffectInput(tree, settings, {}))  # scripts look for /bin/sh and the like, too
    taken, failed = collect_actions(
        tree.with_entries(links.generated), settings.architecture, settings.format
    )
    made: dict[str, GeneratedEntry] = {}
    removed: dict[str, None] = {}
    report: list[tuple[str, str]] = list(find_skipped_actions(tree.packages, taken, failed, settings.format))
    ids = settings.ids
    own = _own_files(tree, settings)
    for effect in EFFECTS:
        result = effect(EffectInput(tree, settings, taken))
        generated = (*_parents(result.generated, tree), *result.generated)
        made |= {item.entry.path: item for item in generated}
        removed |= dict.fromkeys(result.removed)
        report += result.skipped_actions
        ids = result.ids or ids
        # what the recipe itself says of a file is what the image and later effects see of it
        tree = tree.with_entries([item for item in generated if item.entry.path not in own], result.removed)
    entries, directories = _sorted_out(made, original)
    return AppliedEffects(
        generated=entries,
        removed=tuple(sorted(path for path in removed if path not in made)),
        directories=directories,
        ids=ids,
        skipped_actions=_by_package(report),
    )


def _own_files(tree: Tree, settings: EffectSettings) -> frozenset[str]:
    if settings.format < 2:
        return frozenset()
    return frozenset(
        path for path, node in tree.nodes.items() if node.owner == RECIPE_OWNER and node.entry.kind != "dir"
    )


def _parents(generated: Sequence[GeneratedEntry], tree: Tree) -> Iterable[GeneratedEntry]:
    """Yield the directories on the way to what an effect makes that nobody has made yet."""
    known = {item.entry.path for item in generated}
    for item in generated:
        parent = posixpath.dirname(item.entry.path)
        while parent and parent not in known and parent not in tree.nodes:
            known.add(parent)
            yield directory_entry(parent, item.origin)
            parent = posixpath.dirname(parent)


def _sorted_out(
    made: dict[str, GeneratedEntry], original: Tree
) -> tuple[tuple[GeneratedEntry, ...], dict[str, Entry]]:
    """Part changes of packages' directories from entries that are new or take another's place."""
    generated: list[GeneratedEntry] = []
    directories: dict[str, Entry] = {}
    for path in sorted(made):
        node = original.get(path)
        entry = made[path].entry
        if node is None or node.entry.kind != "dir" or entry.kind != "dir":
            generated.append(made[path])
        elif entry != node.entry:
            directories[path] = msgspec.structs.replace(entry, mtime=node.entry.mtime)
    return tuple(generated), directories


def _by_package(report: list[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for package, action in report:
        found.setdefault(package, set()).add(action)
    return {package: tuple(sorted(found[package])) for package in sorted(found)}
