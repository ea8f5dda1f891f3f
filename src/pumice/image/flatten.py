"""Merges the layers of an image into one tree (image-spec 1.1, layer.md, "Applying Changesets").

Within a layer, symbolic links of that layer are followed (`layer_links`). Between layers, paths are literal:
if a layer has an entry below a path that is not a directory, a directory replaces that path, as in overlay
file systems. All of this is done with names before anything is written, so nothing can escape from the
root, and the result does not depend on the file system.

Contents are not read here: the tree has the layer and the position of the visible entry of each path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pumice.errors import FormatError
from pumice.formats.tar import Entry
from pumice.image.layer_links import LayerLinks, follow_links

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_RESERVED = ".wh..wh."
_MAX_DEPTH = 256
_MAX_PATH = 4096
_MAX_ENTRIES = 2_000_000
_MAX_STEPS = 200_000
_MAX_NAMES = 512 << 20
"""Bytes of paths, links and attributes that all layers together may have: all are held in memory."""


class Origin(NamedTuple):
    """The layer of a path's visible entry and its position in the layer, from 0; -1 for an implied directory.

    A hard link has the origin of its target: paths of the same origin are one file.
    """

    layer: int
    position: int


class VisibleEntry(NamedTuple):
    """The visible entry of a path. For a hard link it is the entry of the target, with the target's path."""

    entry: Entry
    origin: Origin


class _PlacedEntry(NamedTuple):
    """An entry of a layer with its resolved path, and the resolved target if it is a hard link."""

    path: str
    link: str
    visible_entry: VisibleEntry


class _Node:
    """One path. ``children`` is None unless it is a directory, ``visible_entry`` for an implied directory."""

    __slots__ = ("children", "visible_entry")

    def __init__(self, visible_entry: VisibleEntry | None, children: dict[str, _Node] | None) -> None:
        self.visible_entry = visible_entry
        self.children = children


def flatten(layers: Iterable[Iterable[Entry]]) -> dict[str, VisibleEntry]:
    """Return the visible entry of each path of an image, in the order of a tree walk.

    ``layers`` begin with the base. The root is ``""`` and always present; implied directories have the
    mode 0755. Raises FormatError for layers that cannot be merged into a tree.
    """
    tree = _MergedTree()
    for entries in layers:
        tree.add(entries)
    return dict(tree.walk())


class _MergedTree:
    """A tree to which layers are added, the base first."""

    def __init__(self) -> None:
        self._top: dict[str, _Node] = {}
        self._root = _Node(None, self._top)
        self._layers = 0
        self._entries = 0
        self._names = 0
        self._steps = 0

    def add(self, entries: Iterable[Entry]) -> None:
        """Apply a layer."""
        removals, additions = self._split_whiteouts(entries)
        targets = self._find_link_targets(additions)
        # Whiteouts apply to the layers below only, whatever their position in their own layer.
        for folder, name in removals:
            self._remove(folder, name)
        layer_entries: dict[str, VisibleEntry] = {}
        later_hardlinks: list[_PlacedEntry] = []
        for placed_entry in additions:
            visible_entry = placed_entry.visible_entry
            if visible_entry.entry.kind == "hardlink":
                target = layer_entries.get(placed_entry.link) or targets.get(placed_entry.link)
                if target is None:
                    later_hardlinks.append(placed_entry)
                    continue
                visible_entry = _resolve_hardlink(visible_entry.entry, target)
            layer_entries[placed_entry.path] = visible_entry
            self._put(placed_entry.path, visible_entry)
        for path, link, visible_entry in later_hardlinks:
            self._put(path, _resolve_hardlink(visible_entry.entry, layer_entries.get(link)))

    def _split_whiteouts(self, entries: Iterable[Entry]) -> tuple[list[tuple[str, str]], list[_PlacedEntry]]:
        """Return the whiteouts of a layer (directory and name, "" for all of it) and its other entries."""
        removals: list[tuple[str, str]] = []
        additions: list[_PlacedEntry] = []
        links = LayerLinks()
        for position, entry in enumerate(entries):
            self._check(entry)
            if "/.wh." not in f"/{entry.path}":
                path = links.resolve_entry(entry)
                link = links.resolve_parents(entry.link) if entry.kind == "hardlink" else ""
                if path != entry.path:
                    self._check_path(path)
                additions.append(
                    _PlacedEntry(path, link, VisibleEntry(entry, Origin(self._layers, position)))
                )
                continue
            folder, _, name = entry.path.rpartition("/")
            if name == _OPAQUE and not _is_reserved(folder):
                removals.append((links.resolve(folder), ""))
            elif not _is_reserved(entry.path):
                removals.append((links.resolve(folder), _parse_removed_name(folder, name)))
        self._layers += 1
        return removals, additions

    def _check(self, entry: Entry) -> None:
        if len(entry.link) > _MAX_PATH:
            raise FormatError(f"the link target {entry.link[:100]!r}... is too long")
        self._check_path(entry.path)
        if not entry.path and entry.kind != "dir":
            raise FormatError(f"the root of a layer is a {entry.kind}, not a directory")
        if "\0" in entry.link or (entry.kind == "symlink" and not entry.link):
            raise FormatError(f"{entry.path!r} is a link without a target")
        self._entries += 1
        self._names += len(entry.path) + len(entry.link)
        if entry.xattrs:
            self._names += sum(map(len, entry.xattrs.values()))
        if self._entries > _MAX_ENTRIES or self._names > _MAX_NAMES:
            raise FormatError("the image has too many files, or too long names")

    def _check_path(self, path: str) -> None:
        if len(path) > _MAX_PATH or path.count("/") >= _MAX_DEPTH:
            raise FormatError(f"the path {path[:100]!r}... is too long or too deep")

    def _find_link_targets(self, additions: list[_PlacedEntry]) -> dict[str, VisibleEntry]:
        """Return the targets of hard links in the layers below, before whiteouts remove anything."""
        targets: dict[str, VisibleEntry] = {}
        for _, link, visible_entry in additions:
            if visible_entry.entry.kind == "hardlink" and link not in targets:
                node = self._find(link) or self._find_through_links(link)
                if node is not None and node.children is None and node.visible_entry is not None:
                    targets[link] = node.visible_entry
        return targets

    def _find_through_links(self, path: str) -> _Node | None:
        """Return the node at ``path`` when the symbolic links in its directories are followed."""
        parent, _, name = path.rpartition("/")
        return self._find(f"{follow_links(parent, self._read_link, self._count_step)}/{name}".lstrip("/"))

    def _read_link(self, path: str) -> str | None:
        node = self._find(path)
        if node is None or node.visible_entry is None or node.visible_entry.entry.kind != "symlink":
            return None
        return node.visible_entry.entry.link

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise FormatError("the links in the paths of hard links are nested too deep")

    def _find(self, path: str) -> _Node | None:
        node = self._root
        for component in path.split("/") if path else ():
            child = node.children.get(component) if node.children is not None else None
            if child is None:
                return None
            node = child
        return node

    def _remove(self, folder: str, name: str) -> None:
        node = self._find(folder)
        if node is None or node.children is None:
            return
        if name:
            node.children.pop(name, None)
        else:
            node.children.clear()

    def _put(self, path: str, visible_entry: VisibleEntry) -> None:
        if not path:
            self._root.visible_entry = visible_entry
            return
        *parents, name = path.split("/")
        children = self._top
        for component in parents:
            node = children.get(component)
            subdirectory = None if node is None else node.children
            if subdirectory is None:
                subdirectory = {}
                children[component] = _Node(None, subdirectory)
            children = subdirectory
        existing_node = children.get(name)
        if visible_entry.entry.kind != "dir":
            children[name] = _Node(visible_entry, None)
        elif existing_node is not None and existing_node.children is not None:
            existing_node.visible_entry = visible_entry
        else:
            children[name] = _Node(visible_entry, {})

    def walk(self) -> Iterator[tuple[str, VisibleEntry]]:
        """Yield every path with its entry: a directory before its content, names sorted."""
        pending = [("", self._root)]
        while pending:
            path, node = pending.pop()
            yield (
                path,
                node.visible_entry or VisibleEntry(Entry(path=path, kind="dir", mode=0o755), Origin(-1, -1)),
            )
            children = node.children or {}
            start = f"{path}/" if path else ""
            pending += [(start + name, children[name]) for name in sorted(children, reverse=True)]


def _resolve_hardlink(link: Entry, target: VisibleEntry | None) -> VisibleEntry:
    """Return the target of a hard link; raises FormatError if it is not a file."""
    if target is None or target.entry.kind == "dir":
        raise FormatError(f"{link.path!r} is a hard link to {link.link!r}, which is not a file of the image")
    return target


def _is_reserved(path: str) -> bool:
    """Whether a path belongs to the metadata of AUFS (``.wh..wh.plnk`` and so on)."""
    return f"/{_RESERVED}" in f"/{path}"


def _parse_removed_name(folder: str, name: str) -> str:
    """Return the name that a whiteout removes."""
    removed_name = name.removeprefix(_WHITEOUT)
    if f"/{_WHITEOUT}" in f"/{folder}" or removed_name in ("", ".", ".."):
        raise FormatError(f"{f'{folder}/{name}'[:200]!r} is not a valid whiteout")
    return removed_name
