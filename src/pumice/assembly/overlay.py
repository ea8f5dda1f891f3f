"""What lies over the packages: generated entries and the recipe's files, and what they displace.

A path stands once in the whole image. Whatever takes a package file's place is therefore cut out of
that package's segment, and a directory has one mode and owner in all layers.
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

    from pumice.packing.segments import Segment


def settle(path: str, tree: Tree) -> str:
    """Return where ``path`` really is when directories on the way to it are links.

    So a file for ``/bin/x`` goes to ``usr/bin/x``. Raises ImageError if it would lie under something
    that is no directory.
    """
    parent = posixpath.dirname(path)
    if not parent:
        return path
    known = parent
    while known and tree.get(known) is None:
        known = posixpath.dirname(known)
    real = tree.resolve(known)
    if real is None or (real and _kind(tree, real) != "dir"):
        raise ImageError(f"/{path} cannot be made: /{known} is not a directory")
    settled = posixpath.join(real, path[len(known) :].lstrip("/"))
    return settled if real == known else settle(settled, tree)


def _kind(tree: Tree, path: str) -> str:
    node = tree.get(path)
    return node.entry.kind if node else ""


def final_nodes(
    tree: Tree,
    removed: Iterable[str],
    directories: Mapping[str, Entry],
    over: Iterable[GeneratedEntry],
) -> dict[str, Node]:
    """Return every path of the finished image."""
    nodes = dict(tree.nodes)
    for path in removed:
        nodes.pop(path, None)
    for path, entry in directories.items():
        known = nodes.get(path)
        mtime = known.entry.mtime if known else 0
        nodes[path] = Node(msgspec.structs.replace(entry, mtime=mtime), known.owner if known else "")
    for item in over:
        known = nodes.get(item.entry.path)
        if known and known.entry.kind == "dir" and item.entry.kind != "dir":
            _check_empty(item, known, nodes)
        nodes[item.entry.path] = Node(item.entry, item.origin)
    return nodes


def _check_empty(item: GeneratedEntry, known: Node, nodes: Mapping[str, Node]) -> None:
    path = item.entry.path
    if any(other.startswith(path + "/") for other in nodes):
        raise ImageError(
            f"{item.origin} cannot put a {item.entry.kind} at /{path}: it is a directory of "
            f"{known.owner or 'the image'} with something in it"
        )


def changes(
    name: str,
    segment: Segment,
    nodes: Mapping[str, Node],
    hidden: Iterable[str],
    lock_format: int = FORMAT,
) -> SegmentChanges:
    """Return how the segment of package ``name`` must differ from the package.

    Only a segment that is alone in its layer writes directories itself; for the others the layer
    does, so their attributes are of no concern here.
    """
    hide = set(hidden)
    for item in segment.items:
        node = nodes.get(item.entry.path)
        if node is None or node.owner != name:
            hide.add(item.entry.path)
    kept: list[Entry] = []
    for entry in segment.directories:
        node = nodes.get(entry.path)
        if node is None or node.entry.kind != "dir":
            hide.add(entry.path)
    if segment.layer is not None:
        kept = [
            msgspec.structs.replace(nodes[entry.path].entry, mtime=entry.mtime)
            for entry in (*segment.directories, *segment.parents)
            if entry.path not in hide and entry.path in nodes and _differs(entry, nodes[entry.path].entry)
        ]
    return SegmentChanges(hide=tuple(sorted(hide)), directories=tuple(kept), format=lock_format)


def _differs(one: Entry, other: Entry) -> bool:
    return (one.mode, one.uid, one.gid) != (other.mode, other.uid, other.gid)
