"""A tree with changes on top, for commands such as ``mkdir``, ``chown`` and ``ln``."""

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
    """New and changed entries over a tree.

    Paths are absolute, and symbolic links in them are followed. Methods that change something return
    False if the file system would refuse the change or if the path is not part of an image.
    """

    def __init__(self, tree: Tree, origin: str) -> None:
        self.origin = origin
        self.entries: dict[str, GeneratedEntry] = {}
        self._undo_log: list[tuple[str, GeneratedEntry | None]] = []
        self._base_tree = tree
        self._changed_nodes: MutableMapping[str, Node] = {}
        nodes = ChainMap(self._changed_nodes, tree.nodes)  # type: ignore[arg-type] # a ChainMap that only reads the second mapping
        self._merged_tree = Tree(nodes, self._read_content, (), tree.implied)

    def _read_content(self, path: str) -> bytes:
        return self.entries[path].content if path in self.entries else self._base_tree.read(path)

    def put(self, generated_entry: GeneratedEntry) -> None:
        """Add or replace an entry at its own path."""
        self._undo_log.append((generated_entry.entry.path, self.entries.get(generated_entry.entry.path)))
        self.entries[generated_entry.entry.path] = generated_entry
        self._changed_nodes[generated_entry.entry.path] = Node(generated_entry.entry, generated_entry.origin)

    def _delete(self, path: str) -> None:
        self._undo_log.append((path, self.entries.pop(path)))
        del self._changed_nodes[path]

    def resolve_parent(self, path: str) -> str | None:
        """Return ``path`` with the links in its parent resolved; None if an image cannot have it."""
        pending = [component for component in posixpath.normpath("/" + path).split("/") if component]
        if not pending or pending[0] in _VOLATILE:
            return None
        parent = ""
        for component in pending[:-1]:
            step = f"{parent}/{component}".lstrip("/")
            resolved = self._merged_tree.resolve(step) if step in self._merged_tree.nodes else step
            if resolved is None:
                return None
            parent = resolved
        real_path = f"{parent}/{pending[-1]}".lstrip("/")
        return None if names.find_name_flaw(real_path) else real_path

    def entry(self, path: str) -> Entry | None:
        """Return the entry at ``path``, following links; None if there is none."""
        real_path = self.resolve_parent(path)
        target = None if real_path is None else self._merged_tree.resolve(real_path)
        node = self._merged_tree.nodes.get(target) if target else None
        return node.entry if node else None

    def exists(self, path: str) -> bool:
        """Whether ``path`` exists; a dangling link counts."""
        real_path = self.resolve_parent(path)
        return real_path is not None and real_path in self._merged_tree.nodes

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None if ``path`` is not a file."""
        entry = self.entry(path)
        if entry is None or entry.kind not in ("file", "hardlink"):
            return None
        return self._merged_tree.read(entry.path)

    def make_directory(self, path: str, mode: int = 0o755) -> bool:
        """Create a directory and its parents; False if another kind of file is in the way."""
        real_path = self.resolve_parent(path)
        if real_path is None:
            return False
        existing = self._merged_tree.nodes.get(real_path)
        if existing is not None:
            entry = self.entry(path)
            return entry is not None and entry.kind == "dir"
        parent = posixpath.dirname(real_path)
        if parent and not self.make_directory(parent):
            return False
        self.put(directory_entry(real_path, self.origin, mode=mode))
        return True

    def write_file(self, path: str, content: bytes, mode: int = 0o644) -> bool:
        """Write a file, keeping the attributes of an existing one; its directory must exist."""
        real_path = self._resolve_target(path)
        if real_path is None:
            return False
        existing = self._merged_tree.nodes.get(real_path)
        if existing is not None and self._is_from_other_effect(real_path, existing):
            return True
        if existing is not None and existing.entry.kind in ("file", "hardlink"):
            entry = msgspec.structs.replace(existing.entry, kind="file", link="", size=len(content), mtime=0)
            self.put(GeneratedEntry(entry=entry, content=content, origin=self.origin))
            return True
        if existing is not None or not self._has_parent_directory(real_path):
            return False
        self.put(file_entry(real_path, content, self.origin, mode=mode))
        return True

    def make_symlink(self, path: str, target: str, *, force: bool = False) -> bool:
        """Create a symbolic link; with ``force`` it replaces a link or file."""
        real_path = self.resolve_parent(path)
        if real_path is None or not self._has_parent_directory(real_path):
            return False
        existing = self._merged_tree.nodes.get(real_path)
        if existing is not None and not (force and existing.entry.kind in ("symlink", "file")):
            return existing.entry.kind == "symlink" and existing.entry.link == target
        self.put(link_entry(real_path, target, self.origin))
        return True

    def change_attributes(
        self, path: str, *, mode: int | None = None, uid: int | None = None, gid: int | None = None
    ) -> bool:
        """Change mode, owner and group of ``path``, following links; None keeps a value."""
        entry = self.entry(path)
        if entry is None or entry.kind not in ("file", "dir", "hardlink"):
            return False
        if entry.kind == "hardlink":
            return self.change_attributes(entry.link, mode=mode, uid=uid, gid=gid)
        changed_entry = msgspec.structs.replace(
            entry,
            mode=entry.mode if mode is None else mode,
            uid=entry.uid if uid is None else uid,
            gid=entry.gid if gid is None else gid,
        )
        if changed_entry != entry:
            self._replace_attributes(changed_entry)
        return True

    def set_extended_attribute(self, path: str, name: str, value: bytes) -> bool:
        """Set an extended attribute of a file."""
        entry = self.entry(path)
        if entry is None or entry.kind != "file":
            return False
        self._replace_attributes(msgspec.structs.replace(entry, xattrs={**entry.xattrs, name: value}))
        return True

    def walk(self, path: str) -> Iterable[str]:
        """Return ``path`` and every path below it, without following links."""
        entry = self.entry(path)
        if entry is None:
            return ()
        prefix = entry.path + "/"
        paths_below = [candidate for candidate in self._merged_tree.nodes if candidate.startswith(prefix)]
        return [entry.path, *sorted(paths_below)]

    def is_symlink(self, path: str) -> bool:
        """Whether ``path`` itself is a symbolic link."""
        real_path = self.resolve_parent(path)
        node = self._merged_tree.nodes.get(real_path) if real_path else None
        return node is not None and node.entry.kind == "symlink"

    def discard(self, path: str) -> None:
        """Delete a file or link that this overlay added; files of packages stay."""
        real_path = self.resolve_parent(path)
        if (
            real_path in self.entries
            and self.entries[real_path].entry.kind != "dir"
            and real_path not in self._base_tree.nodes
        ):
            self._delete(real_path)

    def checkpoint(self) -> int:
        """Return the current state, for `has_changed_since` and `roll_back`."""
        return len(self._undo_log)

    def has_changed_since(self, checkpoint: int) -> bool:
        """Whether any entry differs from ``checkpoint``."""
        earlier_entries: dict[str, GeneratedEntry | None] = {}
        for path, previous_entry in self._undo_log[checkpoint:]:
            earlier_entries.setdefault(path, previous_entry)
        return any(
            self.entries.get(path) != previous_entry for path, previous_entry in earlier_entries.items()
        )

    def roll_back(self, checkpoint: int) -> None:
        """Undo every change since ``checkpoint``."""
        while len(self._undo_log) > checkpoint:
            path, previous_entry = self._undo_log.pop()
            if previous_entry is None:
                del self.entries[path]
                del self._changed_nodes[path]
            else:
                self.entries[path] = previous_entry
                self._changed_nodes[path] = Node(previous_entry.entry, previous_entry.origin)

    def is_symlink_to(self, path: str, target: str) -> bool:
        """Whether ``path`` is a symbolic link with the text ``target``."""
        real_path = self.resolve_parent(path)
        node = self._merged_tree.nodes.get(real_path) if real_path else None
        return node is not None and node.entry.kind == "symlink" and node.entry.link == target

    def rename(self, path: str, target: str) -> bool:
        """Rename a file or link that this overlay added."""
        real_path, new_path = self.resolve_parent(path), self.resolve_parent(target)
        if (
            real_path is None
            or new_path is None
            or real_path not in self.entries
            or self.entries[real_path].entry.kind == "dir"
        ):
            return False
        generated_entry = self.entries[real_path]
        self._delete(real_path)
        moved_entry = msgspec.structs.replace(generated_entry.entry, path=new_path)
        self.put(GeneratedEntry(entry=moved_entry, content=generated_entry.content, origin=self.origin))
        return True

    def is_from_other_effect(self, path: str) -> bool:
        """Whether the entry at ``path`` comes from another effect."""
        real_path = self.resolve_parent(path)
        node = None if real_path is None else self._merged_tree.nodes.get(real_path)
        return node is not None and real_path is not None and self._is_from_other_effect(real_path, node)

    def _is_from_other_effect(self, real_path: str, node: Node) -> bool:
        """Whether an entry comes from another effect: scripts do not expect it to exist."""
        return real_path not in self.entries and node.owner.startswith("effect:")

    def _replace_attributes(self, entry: Entry) -> None:
        content = self._merged_tree.read(entry.path) if entry.kind == "file" else b""
        self.put(GeneratedEntry(entry=entry, content=content, origin=self.origin))

    def _resolve_target(self, path: str) -> str | None:
        entry = self.entry(path)
        return entry.path if entry is not None else self.resolve_parent(path)

    def _has_parent_directory(self, real_path: str) -> bool:
        parent = posixpath.dirname(real_path)
        node = self._merged_tree.nodes.get(parent)
        is_directory = parent in self._merged_tree.implied if node is None else node.entry.kind == "dir"
        return not parent or is_directory
