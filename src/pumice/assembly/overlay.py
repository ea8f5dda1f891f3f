"""Generated entries and the recipe's files on top of the packages, and what they replace.

A path appears once in the whole image. So a package file that is replaced is removed from the
segment of its package, and a directory has the same mode and owner in all layers.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.formats.tar import Entry
from pumice.packing.segments import SegmentChanges
from pumice.packing.tree import GeneratedEntry, Node, Tree
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from pumice.packing.segments import Segment


def resolve_destination(path: str, tree: Tree) -> str:
    """Return ``path`` with the links among its parent directories resolved.

    A file for ``/bin/x`` goes to ``usr/bin/x``. Raises ImageError if a parent is not a directory.
    """
    parent = posixpath.dirname(path)
    if not parent:
        return path
    ancestor = parent
    while ancestor and tree.get(ancestor) is None:
        ancestor = posixpath.dirname(ancestor)
    resolved = tree.resolve(ancestor)
    if resolved is None or (resolved and _kind(tree, resolved) != "dir"):
        raise ImageError(f"cannot create /{path}: /{ancestor} is not a directory")
    destination = posixpath.join(resolved, path[len(ancestor) :].lstrip("/"))
    return destination if resolved == ancestor else resolve_destination(destination, tree)


def _kind(tree: Tree, path: str) -> str:
    node = tree.get(path)
    return node.entry.kind if node else ""


def overlay_nodes(
    tree: Tree,
    removed_paths: Iterable[str],
    directories: Mapping[str, Entry],
    added_entries: Iterable[GeneratedEntry],
) -> dict[str, Node]:
    """Return the nodes of the final image by path: ``tree``, changed and with ``added`` on top."""
    nodes = dict(tree.nodes)
    for path in removed_paths:
        nodes.pop(path, None)
    for path, entry in directories.items():
        existing = nodes.get(path)
        mtime = existing.entry.mtime if existing else 0
        nodes[path] = Node(msgspec.structs.replace(entry, mtime=mtime), existing.owner if existing else "")
    for added_entry in added_entries:
        existing = nodes.get(added_entry.entry.path)
        if existing and existing.entry.kind == "dir" and added_entry.entry.kind != "dir":
            _check_empty(added_entry, existing, nodes)
        nodes[added_entry.entry.path] = Node(added_entry.entry, added_entry.origin)
    return nodes


def _check_empty(added_entry: GeneratedEntry, existing: Node, nodes: Mapping[str, Node]) -> None:
    path = added_entry.entry.path
    if any(other_path.startswith(path + "/") for other_path in nodes):
        raise ImageError(
            f"{added_entry.origin} cannot put a {added_entry.entry.kind} at /{path}: it is a directory of "
            f"{existing.owner or 'the image'} with something in it"
        )


def segment_changes(
    name: str,
    segment: Segment,
    nodes: Mapping[str, Node],
    hidden: Iterable[str],
    lock_format: int = FORMAT,
) -> SegmentChanges:
    """Return the changes to the segment of package ``name`` that the final image needs.

    Attributes of directories matter only for a segment that is a layer of its own: in other layers
    directories are written apart from segments.
    """
    hidden_paths = set(hidden)
    for item in segment.items:
        node = nodes.get(item.entry.path)
        if node is None or node.owner != name:
            hidden_paths.add(item.entry.path)
    for entry in segment.directories:
        node = nodes.get(entry.path)
        if node is None or node.entry.kind != "dir":
            hidden_paths.add(entry.path)
    files = [
        nodes[item.entry.path].entry
        for item in segment.items
        if item.entry.path not in hidden_paths
        and _has_other_attributes(item.entry, nodes[item.entry.path].entry)
    ]
    return SegmentChanges(
        hide=tuple(sorted(hidden_paths)),
        directories=_changed_directories(segment, nodes, hidden_paths) if segment.layer is not None else (),
        files=tuple(files),
        format=lock_format,
    )


def _changed_directories(
    segment: Segment, nodes: Mapping[str, Node], hidden: AbstractSet[str]
) -> tuple[Entry, ...]:
    return tuple(
        msgspec.structs.replace(nodes[entry.path].entry, mtime=entry.mtime)
        for entry in (*segment.directories, *segment.parents)
        if entry.path not in hidden
        and entry.path in nodes
        and _has_other_attributes(entry, nodes[entry.path].entry)
    )


def _has_other_attributes(entry: Entry, final_entry: Entry) -> bool:
    return (entry.mode, entry.uid, entry.gid) != (final_entry.mode, final_entry.uid, final_entry.gid)
