"""Merges the segments of packages into one tree, and resolves paths that several packages ship.

A package may take over files of another package that it ``Replaces`` (Debian Policy 7.6.1); any other
file conflict is an error (10.1).
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

    from pumice.packing.segment_writer import SegmentItem
    from pumice.packing.segments import Segment
    from pumice.store.blobs import Blobs

_MAX_OPEN_SEGMENTS = 8
"""Segments kept open for reading: effects read the files of one package after another."""

Diversions = dict[str, tuple[str, str]]
"""By path, the diverting package and the new path of other packages' files (dpkg-divert(1))."""


class MergedTree(msgspec.Struct, frozen=True):
    """The tree of all packages, and how conflicts were resolved.

    ``hidden`` are, by package, paths that it ships but another package owns. ``diverted`` are (package,
    path, new path). ``directories`` are added empty directories. ``notes`` are messages for the user.
    """

    tree: Tree
    hidden: dict[str, tuple[str, ...]]
    diverted: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    directories: tuple[Entry, ...] = ()


def merge_segments(
    package_segments: Mapping[str, Segment],
    diversions: Diversions,
    blobs: Blobs,
    lock_format: int = FORMAT,
    *,
    directories: Sequence[str] = (),
) -> MergedTree:
    """Return the tree of ``package_segments`` (by package name).

    ``directories`` are added even if they are empty.

    Raises ImageError if two packages ship the same path and neither replaces the other, or if the
    parent of a path is not a directory.
    """
    merger = _Merger(package_segments, diversions, lock_format)
    for name in sorted(package_segments):
        merger.add_directories(name, package_segments[name])
    for name in sorted(package_segments):
        merger.add_files(name, package_segments[name])
    merger.add_parents()
    empty_directories = [entry for path in directories if (entry := merger.add_empty_directory(path))]
    tree = Tree(
        merger.nodes,
        _make_content_reader(package_segments, merger.nodes, blobs),
        [package_segments[name].facts for name in sorted(package_segments)],
    )
    hidden = {name: tuple(sorted(paths)) for name, paths in sorted(merger.hidden.items())}
    return MergedTree(
        tree, hidden, tuple(sorted(merger.diverted)), tuple(merger.notes), tuple(empty_directories)
    )


def _make_content_reader(
    package_segments: Mapping[str, Segment], nodes: Mapping[str, Node], blobs: Blobs
) -> Callable[[str], bytes]:
    @lru_cache(maxsize=_MAX_OPEN_SEGMENTS)
    def segment_reader(owner: str) -> Callable[[str], bytes]:
        return segments.content_reader(package_segments[owner], blobs)

    return lambda path: segment_reader(nodes[path].owner)(path)


class _Merger:
    def __init__(
        self, package_segments: Mapping[str, Segment], diversions: Diversions, lock_format: int
    ) -> None:
        self._format = lock_format
        self._package_segments = package_segments
        self._diversions = diversions
        self._items: dict[str, SegmentItem] = {}
        self._parent_nodes = {
            entry.path: Node(entry, name)
            for name in sorted(package_segments, reverse=True)
            for entry in package_segments[name].parents
        }
        self.nodes: dict[str, Node] = {}
        self.hidden: dict[str, list[str]] = {}
        self.diverted: list[tuple[str, str, str]] = []
        self.notes: list[str] = []

    def add_directories(self, name: str, segment: Segment) -> None:
        for entry in segment.directories:
            existing = self.nodes.get(entry.path)
            if existing is None:
                self.nodes[entry.path] = Node(entry, name)
            elif _get_mode_and_owner(existing.entry) != _get_mode_and_owner(entry):
                self.notes.append(
                    f"/{entry.path} is mode {existing.entry.mode:04o} in {existing.owner} "
                    f"and {entry.mode:04o} in {name}; the first is used"
                )

    def add_files(self, name: str, segment: Segment) -> None:
        for segment_item in segment.items:
            path = segment_item.entry.path
            existing = self.nodes.get(path)
            if existing is None or self._replaces_existing(name, segment_item, existing):
                self.nodes[path] = Node(segment_item.entry, name, segment_item.elf)
                self._items[path] = segment_item

    def _replaces_existing(self, name: str, segment_item: SegmentItem, existing: Node) -> bool:
        path = segment_item.entry.path
        existing_owner = existing.owner
        package, existing_package = (
            self._package_segments[name].facts,
            self._package_segments[existing_owner].facts,
        )
        if existing.entry.kind == "dir":
            raise _make_conflict_error(path, existing_owner, name, "a directory in one but not in the other")
        if path in self._diversions and self._diversions[path][0] in (name, existing_owner):
            winner, new_path = self._diversions[path]
            loser = existing_owner if winner == name else name
            self.diverted.append((loser, path, new_path))
        elif _is_same_file(segment_item, self._items[path]):
            loser = name
        elif replaces(package, existing_package):
            loser = existing_owner
        elif replaces(existing_package, package):
            loser = name
        else:
            raise _make_conflict_error(path, existing_owner, name, "neither replaces the other")
        self.hidden.setdefault(loser, []).append(path)
        return loser == existing_owner

    def add_parents(self) -> None:
        """Add missing parent directories, and check that no parent is a file or link."""
        for path in sorted({posixpath.dirname(path) for path in self.nodes}):
            self._add_parent(path)

    def add_empty_directory(self, path: str) -> Entry | None:
        """Add a directory for a link; return None if it exists or its parent is not a directory."""
        ancestor = path
        while ancestor and ancestor not in self.nodes:
            ancestor = posixpath.dirname(ancestor)
        if ancestor == path or (ancestor and self.nodes[ancestor].entry.kind != "dir"):
            return None
        self._add_parent(path)
        return self.nodes[path].entry

    def _add_parent(self, path: str) -> None:
        while path:
            node = self.nodes.get(path)
            if node is None:
                self.nodes[path] = self._parent_nodes.get(path) or Node(Entry(path, "dir", 0o755))
            elif node.entry.kind != "dir":
                child = sorted(
                    shipped_path for shipped_path in self.nodes if shipped_path.startswith(path + "/")
                )[0]
                owner = self.nodes[child].owner
                raise _make_conflict_error(path, node.owner, owner, f"{owner} ships /{child} below it")
            else:
                return
            path = posixpath.dirname(path)


def _get_mode_and_owner(entry: Entry) -> tuple[int, int, int]:
    return entry.mode, entry.uid, entry.gid


def _is_same_file(first: SegmentItem, second: SegmentItem) -> bool:
    facts = [
        (
            segment_item.entry.kind,
            segment_item.entry.link,
            segment_item.sha256,
            _get_mode_and_owner(segment_item.entry),
        )
        for segment_item in (first, second)
    ]
    return facts[0] == facts[1]


def _make_conflict_error(path: str, first_package: str, second_package: str, reason: str) -> ImageError:
    return ImageError(
        f"the packages {first_package} and {second_package} conflict at /{path}: {reason}",
        hint=f"remove one of them, or exclude it with -{second_package}",
    )
