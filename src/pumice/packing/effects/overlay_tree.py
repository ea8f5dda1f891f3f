"""A tree that file commands draw on: what ``mkdir``, ``chown`` or ``ln`` would leave behind."""

from __future__ import annotations

import posixpath
from collections import ChainMap
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.tar import Entry
from pumice.packing import names
from pumice.packing.effects.model import directory_entry, file_entry, link_entry
from pumice.packing.tree import GeneratedEntry, Node, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

_VOLATILE = ("proc", "sys", "dev", "tmp")


class OverlayTree:
    """What was made so far, over a tree. Paths are absolute; links on their way are followed."""

    def __init__(self, tree: Tree, origin: str) -> None:
        self.origin = origin
        self.entries: dict[str, GeneratedEntry] = {}
        self._undo_log: list[tuple[str, GeneratedEntry | None]] = []
        self._base_tree = tree
        self._changed_nodes: MutableMapping[str, Node] = {}
        nodes = ChainMap(self._changed_nodes, tree.nodes)  # type: ignore[arg-type]
        self._merged_tree = Tree(nodes, self._read_content, (), tree.implied)

    def _read_content(self, path: str) -> bytes:
        return self.entries[path].content if path in self.entries else self._base_tree.read(path)

    def put(self, item: GeneratedEntry) -> None:
        """Add an entry as it is."""
        self._undo_log.append((item.entry.path, self.entries.get(item.entry.path)))
        self.entries[item.entry.path] = item
        self._changed_nodes[item.entry.path] = Node(item.entry, item.origin)

    def _delete(self, path: str) -> None:
        self._undo_log.append((path, self.entries.pop(path)))
        del self._changed_nodes[path]

    def resolve_parent(self, path: str) -> str | None:
        """Return where ``path`` really is, its last part not followed; None if it is not for an image."""
        pending = [part for part in posixpath.normpath("/" + path).split("/") if part]
        if not pending or pending[0] in _VOLATILE:
            return None
        parent = ""
        for part in pending[:-1]:
            step = f"{parent}/{part}".lstrip("/")
            found = self._merged_tree.resolve(step) if step in self._merged_tree.nodes else step
            if found is None:
                return None
            parent = found
        place = f"{parent}/{pending[-1]}".lstrip("/")
        return None if names.find_name_flaw(place) else place

    def entry(self, path: str) -> Entry | None:
        """Return what ``path`` leads to, links followed; None if nothing is there."""
        place = self.resolve_parent(path)
        found = None if place is None else self._merged_tree.resolve(place)
        node = self._merged_tree.nodes.get(found) if found else None
        return node.entry if node else None

    def exists(self, path: str) -> bool:
        """Whether something is at ``path``, be it a link that leads nowhere."""
        place = self.resolve_parent(path)
        return place is not None and place in self._merged_tree.nodes

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        entry = self.entry(path)
        if entry is None or entry.kind not in ("file", "hardlink"):
            return None
        return self._merged_tree.read(entry.path)

    def make_directory(self, path: str, mode: int = 0o755) -> bool:
        """Make a directory and its parents, if it is not there; False where that is impossible."""
        place = self.resolve_parent(path)
        if place is None:
            return False
        known = self._merged_tree.nodes.get(place)
        if known is not None:
            entry = self.entry(path)
            return entry is not None and entry.kind == "dir"
        parent = posixpath.dirname(place)
        if parent and not self.make_directory(parent):
            return False
        self.put(directory_entry(place, self.origin, mode=mode))
        return True

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> bool:
        """Write a file, keeping the attributes of one that is there; its folder must exist."""
        place = self._resolve_target(path)
        if place is None:
            return False
        known = self._merged_tree.nodes.get(place)
        if known is not None and self._is_from_other_effect(place, known):
            return True
        if known is not None and known.entry.kind in ("file", "hardlink"):
            entry = msgspec.structs.replace(known.entry, kind="file", link="", size=len(content), mtime=0)
            self.put(GeneratedEntry(entry=entry, content=content, origin=self.origin))
            return True
        if known is not None or not self._has_parent_directory(place):
            return False
        self.put(file_entry(place, content, self.origin, mode=mode))
        return True

    def make_symlink(self, path: str, target: str, *, force: bool = False) -> bool:
        """Make a symbolic link; False if something is there already, unless it is a link (``force``)."""
        place = self.resolve_parent(path)
        if place is None or not self._has_parent_directory(place):
            return False
        known = self._merged_tree.nodes.get(place)
        if known is not None and not (force and known.entry.kind in ("symlink", "file")):
            return known.entry.kind == "symlink" and known.entry.link == target
        self.put(link_entry(place, target, self.origin))
        return True

    def change_attributes(
        self, path: str, *, mode: int | None = None, uid: int | None = None, gid: int | None = None
    ) -> bool:
        """Give what ``path`` leads to other attributes; None leaves one as it is."""
        entry = self.entry(path)
        if entry is None or entry.kind not in ("file", "dir", "hardlink"):
            return False
        if entry.kind == "hardlink":
            return self.change_attributes(entry.link, mode=mode, uid=uid, gid=gid)
        new = msgspec.structs.replace(
            entry,
            mode=entry.mode if mode is None else mode,
            uid=entry.uid if uid is None else uid,
            gid=entry.gid if gid is None else gid,
        )
        if new != entry:
            self._replace_attributes(new)
        return True

    def set_extended_attribute(self, path: str, name: str, value: bytes) -> bool:
        """Give a file an extended attribute."""
        entry = self.entry(path)
        if entry is None or entry.kind != "file":
            return False
        self._replace_attributes(msgspec.structs.replace(entry, xattrs={**entry.xattrs, name: value}))
        return True

    def walk(self, path: str) -> Iterable[str]:
        """Return ``path`` and all that is in it, links not followed."""
        entry = self.entry(path)
        if entry is None:
            return ()
        prefix = entry.path + "/"
        inside = [known for known in self._merged_tree.nodes if known.startswith(prefix)]
        return [entry.path, *sorted(inside)]

    def is_symlink(self, path: str) -> bool:
        """Whether ``path`` itself is a symbolic link."""
        place = self.resolve_parent(path)
        node = self._merged_tree.nodes.get(place) if place else None
        return node is not None and node.entry.kind == "symlink"

    def discard(self, path: str) -> None:
        """Take back a file or link that was made here; what packages ship stays."""
        place = self.resolve_parent(path)
        if (
            place in self.entries
            and self.entries[place].entry.kind != "dir"
            and place not in self._base_tree.nodes
        ):
            self._delete(place)

    def checkpoint(self) -> int:
        """Return this moment, for `is_changed` and `go_back`."""
        return len(self._undo_log)

    def has_changed_since(self, mark: int) -> bool:
        """Whether anything is different from what it was at ``mark``."""
        before: dict[str, GeneratedEntry | None] = {}
        for path, item in self._undo_log[mark:]:
            before.setdefault(path, item)
        return any(self.entries.get(path) != item for path, item in before.items())

    def roll_back(self, mark: int) -> None:
        """Undo everything since ``mark``."""
        while len(self._undo_log) > mark:
            path, item = self._undo_log.pop()
            if item is None:
                del self.entries[path]
                del self._changed_nodes[path]
            else:
                self.entries[path] = item
                self._changed_nodes[path] = Node(item.entry, item.origin)

    def is_symlink_to(self, path: str, target: str) -> bool:
        """Whether ``path`` is a symbolic link with the text ``target``."""
        place = self.resolve_parent(path)
        node = self._merged_tree.nodes.get(place) if place else None
        return node is not None and node.entry.kind == "symlink" and node.entry.link == target

    def rename(self, path: str, target: str) -> bool:
        """Rename something that was made here."""
        place, to = self.resolve_parent(path), self.resolve_parent(target)
        if (
            place is None
            or to is None
            or place not in self.entries
            or self.entries[place].entry.kind == "dir"
        ):
            return False
        item = self.entries[place]
        self._delete(place)
        moved = msgspec.structs.replace(item.entry, path=to)
        self.put(GeneratedEntry(entry=moved, content=item.content, origin=self.origin))
        return True

    def is_from_other_effect(self, path: str) -> bool:
        """Whether another effect made what is at ``path``."""
        place = self.resolve_parent(path)
        node = None if place is None else self._merged_tree.nodes.get(place)
        return node is not None and place is not None and self._is_from_other_effect(place, node)

    def _is_from_other_effect(self, place: str, node: Node) -> bool:
        """Whether another effect made it: scripts judge by a tree in which that was not there yet."""
        return place not in self.entries and node.owner.startswith("effect:")

    def _replace_attributes(self, entry: Entry) -> None:
        content = self._merged_tree.read(entry.path) if entry.kind == "file" else b""
        self.put(GeneratedEntry(entry=entry, content=content, origin=self.origin))

    def _resolve_target(self, path: str) -> str | None:
        entry = self.entry(path)
        return entry.path if entry is not None else self.resolve_parent(path)

    def _has_parent_directory(self, place: str) -> bool:
        parent = posixpath.dirname(place)
        node = self._merged_tree.nodes.get(parent)
        is_directory = parent in self._merged_tree.implied if node is None else node.entry.kind == "dir"
        return not parent or is_directory
