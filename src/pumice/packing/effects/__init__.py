"""What maintainer scripts would have left behind, made without running them.

Each effect is a small function of the tree: it sees the packages' files and what earlier effects
made, and answers with entries. The table below is the order. `apply` runs it.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.packing.effects.alternatives import alternatives
from pumice.packing.effects.certificates import ca_certificates, java_key_store
from pumice.packing.effects.dpkg import package_database
from pumice.packing.effects.files import scripted_files
from pumice.packing.effects.loader import loader_cache
from pumice.packing.effects.model import Effect, Given, Outcome, Settings, directory
from pumice.packing.effects.pam import authentication
from pumice.packing.effects.scripts import actions
from pumice.packing.effects.skipped_actions import not_done
from pumice.packing.effects.system import machine_id, name_service, shells, temporary
from pumice.packing.effects.tmpfiles import tmpfiles
from pumice.packing.effects.users import NONROOT, users
from pumice.packing.effects.usr_merge import merged_usr, moved_run
from pumice.packing.tree import RECIPE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.formats.tar import Entry
    from pumice.packing.tree import Generated, Tree

__all__ = ["EFFECTS", "NONROOT", "Effect", "Given", "Outcome", "Settings", "apply"]

EFFECTS: tuple[Effect, ...] = (
    merged_usr,  # first: every later path goes through these links
    moved_run,
    temporary,
    users,  # before all that has owners
    name_service,
    authentication,
    ca_certificates,
    java_key_store,
    scripted_files,  # after all that knows better what a file of its own must hold
    tmpfiles,
    shells,
    machine_id,
    alternatives,  # after files, which may bring targets
    loader_cache,  # after alternatives, which may link libraries
    package_database,  # last: keeps what earlier effects wrote into dpkg's folder
)


def apply(tree: Tree, settings: Settings) -> Outcome:
    """Return what all effects add to the files of the packages and of the recipe.

    Depends on nothing but its arguments. Raises ImageError where ids clash or something in a
    package cannot be an image's.
    """
    original = tree
    links = merged_usr(Given(tree, settings, {}))  # scripts look for /bin/sh and the like, too
    taken, failed = actions(tree.plus(links.generated), settings.architecture, settings.format)
    made: dict[str, Generated] = {}
    removed: dict[str, None] = {}
    report: list[tuple[str, str]] = list(not_done(tree.packages, taken, failed, settings.format))
    ids = settings.ids
    own = _own_files(tree, settings)
    for effect in EFFECTS:
        result = effect(Given(tree, settings, taken))
        generated = (*_parents(result.generated, tree), *result.generated)
        made |= {item.entry.path: item for item in generated}
        removed |= dict.fromkeys(result.removed)
        report += result.report
        ids = result.ids or ids
        # what the recipe itself says of a file is what the image and later effects see of it
        tree = tree.plus([item for item in generated if item.entry.path not in own], result.removed)
    entries, directories = _sorted_out(made, original)
    return Outcome(
        generated=entries,
        removed=tuple(sorted(path for path in removed if path not in made)),
        directories=directories,
        ids=ids,
        report=_by_package(report),
    )


def _own_files(tree: Tree, settings: Settings) -> frozenset[str]:
    if settings.format < 2:
        return frozenset()
    return frozenset(
        path for path, node in tree.nodes.items() if node.owner == RECIPE and node.entry.kind != "dir"
    )


def _parents(generated: Sequence[Generated], tree: Tree) -> Iterable[Generated]:
    """Yield the directories on the way to what an effect makes that nobody has made yet."""
    known = {item.entry.path for item in generated}
    for item in generated:
        parent = posixpath.dirname(item.entry.path)
        while parent and parent not in known and parent not in tree.nodes:
            known.add(parent)
            yield directory(parent, item.by)
            parent = posixpath.dirname(parent)


def _sorted_out(made: dict[str, Generated], original: Tree) -> tuple[tuple[Generated, ...], dict[str, Entry]]:
    """Part changes of packages' directories from entries that are new or take another's place."""
    generated: list[Generated] = []
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
