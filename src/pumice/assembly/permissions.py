"""The recipe's ``permissions``: other modes and owners for files of packages.

A changed file stays in the segment of its package, which is rewritten, so the evidence still says whose it
is. dpkg's list of overrides (dpkg-statoverride(1)) records the change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.formats.lines import split_lines
from pumice.packing import patterns
from pumice.packing.effects import dpkg_database
from pumice.packing.effects.model import file_entry
from pumice.packing.tree import RECIPE_OWNER, GeneratedEntry, Node

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.assembly.owners import OwnerTable
    from pumice.formats.tar import Entry
    from pumice.packing.tree import Tree
    from pumice.recipe.model import PermissionRule

_OVERRIDES = "var/lib/dpkg/statoverride"


class ChangedPermissions(msgspec.Struct, frozen=True):
    """The nodes and the generated entries of an image after its permissions, and the paths that changed."""

    nodes: dict[str, Node]
    generated: list[GeneratedEntry]
    paths: frozenset[str] = frozenset()


def change_permissions(
    rules: Sequence[PermissionRule],
    nodes: dict[str, Node],
    generated: list[GeneratedEntry],
    tree: Tree,
    owners: OwnerTable,
) -> ChangedPermissions:
    """Return ``nodes`` and ``generated`` of the final image, changed by ``rules``.

    ``tree`` resolves the links in paths. Raises ImageError for a rule that matches no file of a package, and
    for an unknown owner.
    """
    if not rules:
        return ChangedPermissions(nodes, generated)
    changed = _change_entries(rules, nodes, tree, owners)
    new_nodes = {path: msgspec.structs.replace(nodes[path], entry=changed[path]) for path in changed}
    entries = {item.entry.path: item for item in generated}
    for path in changed.keys() & entries.keys():
        entries[path] = msgspec.structs.replace(entries[path], entry=changed[path])
    if _OVERRIDES in entries:  # an image without dpkg's database has none
        overrides = _add_overrides(entries[_OVERRIDES], changed, owners)
        entries[_OVERRIDES] = overrides
        if nodes[_OVERRIDES].owner != RECIPE_OWNER:
            new_nodes[_OVERRIDES] = Node(overrides.entry, overrides.origin)
    return ChangedPermissions({**nodes, **new_nodes}, list(entries.values()), frozenset(changed))


def _change_entries(
    rules: Sequence[PermissionRule], nodes: Mapping[str, Node], tree: Tree, owners: OwnerTable
) -> dict[str, Entry]:
    """Return the changed entries by path, all names of a hard-linked file included."""
    changed: dict[str, Entry] = {}
    for rule in rules:
        uid, gid = _resolve_owner(rule, owners)
        paths = list(_match_paths(rule, nodes, tree))
        if not paths:
            raise _no_match_error(rule, nodes, tree)
        for path in _with_hard_links(paths, nodes):
            entry = changed.get(path, nodes[path].entry)
            changed[path] = msgspec.structs.replace(
                entry,
                mode=_choose_mode(rule, entry),
                uid=entry.uid if uid is None else uid,
                gid=entry.gid if gid is None else gid,
            )
    return changed


def _add_overrides(
    overrides: GeneratedEntry, changed: Mapping[str, Entry], owners: OwnerTable
) -> GeneratedEntry:
    lines = {line.split(" ", 3)[-1]: line for line in split_lines(overrides.content.decode())}
    for path, entry in changed.items():
        user, group = owners.find_names(entry.uid, entry.gid)
        lines[f"/{path}"] = f"{user} {group} {entry.mode:o} /{path}"
    content = "".join(f"{lines[path]}\n" for path in sorted(lines)).encode()
    return file_entry(_OVERRIDES, content, dpkg_database.ORIGIN)


def _choose_mode(rule: PermissionRule, entry: Entry) -> int:
    if rule.mode is None:
        return entry.mode
    if entry.kind == "dir" and patterns.is_wild(rule.path):
        # As under ``files``: a directory is searchable by everyone who may read it.
        return rule.mode | (rule.mode & 0o444) >> 2
    return rule.mode


def _resolve_owner(rule: PermissionRule, owners: OwnerTable) -> tuple[int | None, int | None]:
    if not rule.owner:
        return None, None
    try:
        return owners.resolve_ids(rule.owner)
    except ImageError as error:
        raise ImageError(error.message, where=rule.where or None, hint=error.hint) from None


def _match_paths(rule: PermissionRule, nodes: Mapping[str, Node], tree: Tree) -> Iterator[str]:
    fixed, wild = _split_pattern(rule.path, tree)
    if not wild:
        if fixed in nodes and _is_changeable(nodes[fixed]):
            yield fixed
        return
    prefix = f"{fixed}/" if fixed else ""
    for path in sorted(nodes):
        if (
            path.startswith(prefix)
            and _is_changeable(nodes[path])
            and patterns.path_matches(path[len(prefix) :].split("/"), wild)
        ):
            yield path


def _split_pattern(pattern: str, tree: Tree) -> tuple[str, list[str]]:
    """Return the path before the first wildcard, through the links among its directories, and the rest."""
    components = pattern.strip("/").split("/")
    count = next(
        (number for number, component in enumerate(components) if patterns.is_wild(component)),
        len(components),
    )
    wild = components[count:]
    directories, last = (components[:count], "") if wild else (components[:-1], components[-1])
    directory = "/".join(directories)
    resolved = tree.resolve(directory)
    directory = directory if resolved is None else resolved
    return "/".join(part for part in (directory, last) if part), wild


def _is_changeable(node: Node) -> bool:
    return node.entry.kind in ("file", "hardlink", "dir") and node.owner != RECIPE_OWNER


def _with_hard_links(paths: Sequence[str], nodes: Mapping[str, Node]) -> list[str]:
    """Return ``paths`` with all names of their files: they share mode and owner."""
    targets = {
        nodes[path].entry.link if nodes[path].entry.kind == "hardlink" else path
        for path in paths
        if nodes[path].entry.kind != "dir"
    }
    names = {path for path in targets if path in nodes}
    names |= {
        path for path, node in nodes.items() if node.entry.kind == "hardlink" and node.entry.link in targets
    }
    return sorted({*paths, *names})


def _no_match_error(rule: PermissionRule, nodes: Mapping[str, Node], tree: Tree) -> ImageError:
    fixed, wild = _split_pattern(rule.path, tree)
    node = None if wild else nodes.get(fixed)
    if node and node.entry.kind == "symlink":
        hint = f"it is a link to {node.entry.link}: name its target"
    elif node:
        hint = "it is one of your own files: set its 'mode' and 'owner' under 'files'"
    else:
        hint = "'pumice files IMAGE' lists the files of an image"
    return ImageError(f"{rule.path} matches no file of a package", where=rule.where or None, hint=hint)
