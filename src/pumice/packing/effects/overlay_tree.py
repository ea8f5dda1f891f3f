"""A tree that file commands draw on: what ``mkdir``, ``chown`` or ``ln`` would leave behind."""

from __future__ import annotations

import posixpath
from collections import ChainMap
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.tar import Entry
from pumice.packing import names
from pumice.packing.effects.model import directory, file, link
from pumice.packing.tree import Generated, Node, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

_VOLATILE = ("proc", "sys", "dev", "tmp")


class Canvas:
    """What was made so far, over a tree. Paths are absolute; links on their way are followed."""

    def __init__(self, tree: Tree, by: str) -> None:
        self.by = by
        self.made: dict[str, Generated] = {}
        self._undo: list[tuple[str, Generated | None]] = []
        self._tree = tree
        self._over: MutableMapping[str, Node] = {}
        nodes = ChainMap(self._over, tree.nodes)  # type: ignore[arg-type]
        self._view = Tree(nodes, self._read, (), tree.implied)

    def _read(self, path: str) -> bytes:
        return self.made[path].content if path in self.made else self._tree.read(path)

    def put(self, item: Generated) -> None:
        """Add an entry as it is."""
        self._undo.append((item.entry.path, self.made.get(item.entry.path)))
        self.made[item.entry.path] = item
        self._over[item.entry.path] = Node(item.entry, item.by)

    def _drop(self, path: str) -> None:
        self._undo.append((path, self.made.pop(path)))
        del self._over[path]

    def place(self, path: str) -> str | None:
        """Return where ``path`` really is, its last part not followed; None if it is not for an image."""
        pending = [part for part in posixpath.normpath("/" + path).split("/") if part]
        if not pending or pending[0] in _VOLATILE:
            return None
        parent = ""
        for part in pending[:-1]:
            step = f"{parent}/{part}".lstrip("/")
            found = self._view.resolve(step) if step in self._view.nodes else step
            if found is None:
                return None
            parent = found
        place = f"{parent}/{pending[-1]}".lstrip("/")
        return None if names.find_flaw(place) else place

    def entry(self, path: str) -> Entry | None:
        """Return what ``path`` leads to, links followed; None if nothing is there."""
        place = self.place(path)
        found = None if place is None else self._view.resolve(place)
        node = self._view.nodes.get(found) if found else None
        return node.entry if node else None

    def exists(self, path: str) -> bool:
        """Whether something is at ``path``, be it a link that leads nowhere."""
        place = self.place(path)
        return place is not None and place in self._view.nodes

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None if there is none."""
        entry = self.entry(path)
        if entry is None or entry.kind not in ("file", "hardlink"):
            return None
        return self._view.read(entry.path)

    def directory(self, path: str, mode: int = 0o755) -> bool:
        """Make a directory and its parents, if it is not there; False where that is impossible."""
        place = self.place(path)
        if place is None:
            return False
        known = self._view.nodes.get(place)
        if known is not None:
            entry = self.entry(path)
            return entry is not None and entry.kind == "dir"
        parent = posixpath.dirname(place)
        if parent and not self.directory(parent):
            return False
        self.put(directory(place, self.by, mode=mode))
        return True

    def file(self, path: str, content: bytes, mode: int = 0o644) -> bool:
        """Write a file, keeping the attributes of one that is there; its folder must exist."""
        place = self._target(path)
        if place is None:
            return False
        known = self._view.nodes.get(place)
        if known is not None and self._is_made_elsewhere(place, known):
            return True
        if known is not None and known.entry.kind in ("file", "hardlink"):
            entry = msgspec.structs.replace(known.entry, kind="file", link="", size=len(content), mtime=0)
            self.put(Generated(entry=entry, content=content, by=self.by))
            return True
        if known is not None or not self._has_folder(place):
            return False
        self.put(file(place, content, self.by, mode=mode))
        return True

    def link(self, path: str, target: str, *, force: bool = False) -> bool:
        """Make a symbolic link; False if something is there already, unless it is a link (``force``)."""
        place = self.place(path)
        if place is None or not self._has_folder(place):
            return False
        known = self._view.nodes.get(place)
        if known is not None and not (force and known.entry.kind in ("symlink", "file")):
            return known.entry.kind == "symlink" and known.entry.link == target
        self.put(link(place, target, self.by))
        return True

    def change(
        self, path: str, *, mode: int | None = None, uid: int | None = None, gid: int | None = None
    ) -> bool:
        """Give what ``path`` leads to other attributes; None leaves one as it is."""
        entry = self.entry(path)
        if entry is None or entry.kind not in ("file", "dir", "hardlink"):
            return False
        if entry.kind == "hardlink":
            return self.change(entry.link, mode=mode, uid=uid, gid=gid)
        new = msgspec.structs.replace(
            entry,
            mode=entry.mode if mode is None else mode,
            uid=entry.uid if uid is None else uid,
            gid=entry.gid if gid is None else gid,
        )
        if new != entry:
            self._replace(new)
        return True

    def attribute(self, path: str, name: str, value: bytes) -> bool:
        """Give a file an extended attribute."""
        entry = self.entry(path)
        if entry is None or entry.kind != "file":
            return False
        self._replace(msgspec.structs.replace(entry, xattrs={**entry.xattrs, name: value}))
        return True

    def below(self, path: str) -> Iterable[str]:
        """Return ``path`` and all that is in it, links not followed."""
        entry = self.entry(path)
        if entry is None:
            return ()
        prefix = entry.path + "/"
        inside = [known for known in self._view.nodes if known.startswith(prefix)]
        return [entry.path, *sorted(inside)]

    def is_link(self, path: str) -> bool:
        """Whether ``path`` itself is a symbolic link."""
        place = self.place(path)
        node = self._view.nodes.get(place) if place else None
        return node is not None and node.entry.kind == "symlink"

    def forget(self, path: str) -> None:
        """Take back a file or link that was made here; what packages ship stays."""
        place = self.place(path)
        if place in self.made and self.made[place].entry.kind != "dir" and place not in self._tree.nodes:
            self._drop(place)

    def mark(self) -> int:
        """Return this moment, for `is_changed` and `go_back`."""
        return len(self._undo)

    def is_changed(self, mark: int) -> bool:
        """Whether anything is different from what it was at ``mark``."""
        before: dict[str, Generated | None] = {}
        for path, item in self._undo[mark:]:
            before.setdefault(path, item)
        return any(self.made.get(path) != item for path, item in before.items())

    def go_back(self, mark: int) -> None:
        """Undo everything since ``mark``."""
        while len(self._undo) > mark:
            path, item = self._undo.pop()
            if item is None:
                del self.made[path]
                del self._over[path]
            else:
                self.made[path] = item
                self._over[path] = Node(item.entry, item.by)

    def reads_as(self, path: str, target: str) -> bool:
        """Whether ``path`` is a symbolic link with the text ``target``."""
        place = self.place(path)
        node = self._view.nodes.get(place) if place else None
        return node is not None and node.entry.kind == "symlink" and node.entry.link == target

    def move(self, path: str, target: str) -> bool:
        """Rename something that was made here."""
        place, to = self.place(path), self.place(target)
        if place is None or to is None or place not in self.made or self.made[place].entry.kind == "dir":
            return False
        item = self.made[place]
        self._drop(place)
        moved = msgspec.structs.replace(item.entry, path=to)
        self.put(Generated(entry=moved, content=item.content, by=self.by))
        return True

    def is_made_elsewhere(self, path: str) -> bool:
        """Whether another effect made what is at ``path``."""
        place = self.place(path)
        node = None if place is None else self._view.nodes.get(place)
        return node is not None and place is not None and self._is_made_elsewhere(place, node)

    def _is_made_elsewhere(self, place: str, node: Node) -> bool:
        """Whether another effect made it: scripts judge by a tree in which that was not there yet."""
        return place not in self.made and node.owner.startswith("effect:")

    def _replace(self, entry: Entry) -> None:
        content = self._view.read(entry.path) if entry.kind == "file" else b""
        self.put(Generated(entry=entry, content=content, by=self.by))

    def _target(self, path: str) -> str | None:
        entry = self.entry(path)
        return entry.path if entry is not None else self.place(path)

    def _has_folder(self, place: str) -> bool:
        parent = posixpath.dirname(place)
        node = self._view.nodes.get(parent)
        is_directory = parent in self._view.implied if node is None else node.entry.kind == "dir"
        return not parent or is_directory
