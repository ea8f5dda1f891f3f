"""Segments into one tree: who owns each path, and what happens when two packages want the same.

Debian Policy 7.6.1 and 10.1: a package may take over files of another that it ``Replaces``;
anything else that collides is an error that names both.
"""

from __future__ import annotations

import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.formats.tar import Entry
from pumice.packing import segments
from pumice.packing.relationships import replaces
from pumice.packing.tree import Node, Tree
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.packing.segments import Segment
    from pumice.packing.stream import Item
    from pumice.store.blobs import Blobs

_OPEN = 8
"""Segments that are held open for reading: effects go through one package after the other."""

Diversions = dict[str, tuple[str, str]]
"""Path to the package that diverts it and where the others' file goes (dpkg-divert(1))."""


class Merged(msgspec.Struct, frozen=True):
    """What the packages make together.

    ``hidden`` are paths that a package ships but does not own here, by package; ``diverted`` are
    (package, path, new path); ``directories`` are in the tree though no package's files need them;
    ``notes`` say what a person may want to know.
    """

    tree: Tree
    hidden: dict[str, tuple[str, ...]]
    diverted: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    directories: tuple[Entry, ...] = ()


def merge(
    parts: Mapping[str, Segment],
    diversions: Diversions,
    blobs: Blobs,
    lock_format: int = FORMAT,
    *,
    directories: Sequence[str] = (),
) -> Merged:
    """Return the tree of ``parts`` (segments by package name).

    ``directories`` are those to have even if nothing is in them.

    Raises ImageError when two packages ship the same path and neither replaces the other, or when
    a file lies under something that is not a directory.
    """
    merger = _Merger(parts, diversions, lock_format)
    for name in sorted(parts):
        merger.directories(name, parts[name])
    for name in sorted(parts):
        merger.files(name, parts[name])
    merger.check_parents()
    empty = [entry for path in directories if (entry := merger.empty_directory(path))]
    tree = Tree(
        merger.nodes,
        _reader(parts, merger.nodes, blobs),
        [parts[name].facts for name in sorted(parts)],
    )
    hidden = {name: tuple(sorted(paths)) for name, paths in sorted(merger.hidden.items())}
    return Merged(tree, hidden, tuple(sorted(merger.diverted)), tuple(merger.notes), tuple(empty))


def _reader(parts: Mapping[str, Segment], nodes: Mapping[str, Node], blobs: Blobs) -> Callable[[str], bytes]:
    @lru_cache(maxsize=_OPEN)
    def reader(owner: str) -> Callable[[str], bytes]:
        return segments.contents(parts[owner], blobs)

    return lambda path: reader(nodes[path].owner)(path)


class _Merger:
    def __init__(self, parts: Mapping[str, Segment], diversions: Diversions, lock_format: int) -> None:
        self._format = lock_format
        self._parts = parts
        self._diversions = diversions
        self._items: dict[str, Item] = {}
        self._attributes = {
            entry.path: Node(entry, name)
            for name in sorted(parts, reverse=True)
            for entry in parts[name].parents
        }
        self.nodes: dict[str, Node] = {}
        self.hidden: dict[str, list[str]] = {}
        self.diverted: list[tuple[str, str, str]] = []
        self.notes: list[str] = []

    def directories(self, name: str, part: Segment) -> None:
        for entry in part.directories:
            known = self.nodes.get(entry.path)
            if known is None:
                self.nodes[entry.path] = Node(entry, name)
            elif _attributes(known.entry) != _attributes(entry):
                self.notes.append(
                    f"/{entry.path} is mode {known.entry.mode:04o} in {known.owner} "
                    f"and {entry.mode:04o} in {name}; the first is used"
                )

    def files(self, name: str, part: Segment) -> None:
        for item in part.items:
            path = item.entry.path
            known = self.nodes.get(path)
            if known is None or self._wins(name, item, known):
                self.nodes[path] = Node(item.entry, name, item.elf)
                self._items[path] = item

    def _wins(self, name: str, item: Item, known: Node) -> bool:
        path = item.entry.path
        other = known.owner
        mine, theirs = self._parts[name].facts, self._parts[other].facts
        if known.entry.kind == "dir":
            raise _clash(path, other, name, "a directory in one and not in the other")
        if path in self._diversions and self._diversions[path][0] in (name, other):
            winner, new_path = self._diversions[path]
            loser = other if winner == name else name
            self.diverted.append((loser, path, new_path))
        elif _same(item, self._items[path]):
            loser = name
        elif replaces(mine, theirs):
            loser = other
        elif replaces(theirs, mine):
            loser = name
        else:
            raise _clash(path, other, name, "neither says that it replaces the other")
        self.hidden.setdefault(loser, []).append(path)
        return loser == other

    def check_parents(self) -> None:
        """Give every path its parents, and make sure that nothing lies under a file or link."""
        for path in sorted({posixpath.dirname(path) for path in self.nodes}):
            self._check_parent(path)

    def empty_directory(self, path: str) -> Entry | None:
        """Add a directory that only a link needs; return nothing if it is there or has no place."""
        above = path
        while above and above not in self.nodes:
            above = posixpath.dirname(above)
        if above == path or (above and self.nodes[above].entry.kind != "dir"):
            return None
        self._check_parent(path)
        return self.nodes[path].entry

    def _check_parent(self, path: str) -> None:
        while path:
            node = self.nodes.get(path)
            if node is None:
                self.nodes[path] = self._attributes.get(path) or Node(Entry(path, "dir", 0o755))
            elif node.entry.kind != "dir":
                inside = sorted(p for p in self.nodes if p.startswith(path + "/"))[0]
                owner = self.nodes[inside].owner
                raise _clash(path, node.owner, owner, f"{owner} has /{inside} under it")
            else:
                return
            path = posixpath.dirname(path)


def _attributes(entry: Entry) -> tuple[int, int, int]:
    return entry.mode, entry.uid, entry.gid


def _same(one: Item, other: Item) -> bool:
    facts = [
        (item.entry.kind, item.entry.link, item.sha256, _attributes(item.entry)) for item in (one, other)
    ]
    return facts[0] == facts[1]


def _clash(path: str, one: str, other: str, why: str) -> ImageError:
    return ImageError(
        f"the packages {one} and {other} clash at /{path}: {why}",
        hint=f"leave one of them out, or exclude it with -{other}",
    )
