"""The file tree that an image will have, before any of it is written.

Effects look at it and answer with entries to add; nothing is ever unpacked to find out.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.elf import SharedObject
from pumice.formats.tar import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_MAX_LINKS = 40
RECIPE = "files"
"""Who owns what the recipe's own files put somewhere."""


class Node(msgspec.Struct, frozen=True, gc=False):
    """One path of the tree: its entry, the package (or effect) that put it there, and its ELF facts."""

    entry: Entry
    owner: str = ""
    elf: SharedObject | None = None


class PackageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a package says of itself: its control paragraph and its other control files.

    ``fields`` keeps the paragraph's order and text; ``files`` holds ``postinst``, ``conffiles``,
    ``triggers`` and so on, except ``control`` and ``md5sums``. ``conffiles`` maps each
    configuration file's path in the package (``/etc/x``) to its MD5 in hexadecimal.
    ``installed`` is false for ``role: base-data``, whose files are used but which dpkg must not list.
    """

    name: str
    version: str
    architecture: str
    fields: dict[str, str]
    files: dict[str, bytes] = {}
    conffiles: dict[str, str] = {}
    installed: bool = True


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that no package ships: made by the effect or recipe line named in ``by``.

    At a path that exists already it takes the place of what is there.
    """

    entry: Entry
    content: bytes = b""
    by: str


class Tree:
    """Paths to nodes, with contents on demand. Immutable: `plus` returns a new tree."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        read: Callable[[str], bytes],
        packages: Sequence[PackageFacts] = (),
        implied: frozenset[str] = frozenset(),
    ) -> None:
        """``read`` returns the content of the file at a path of ``nodes``.

        ``implied`` are directories that will be there because of something in them, but that have no
        mode or owner yet: they can be walked through and are not in ``nodes``.
        """
        self.nodes = nodes
        self.implied = implied
        self.packages = tuple(packages)
        self._read = read
        self._children: dict[str, list[str]] | None = None

    def get(self, path: str) -> Node | None:
        """Return the node at exactly ``path`` (no link is followed)."""
        return self.nodes.get(path)

    def children(self, directory: str) -> Sequence[str]:
        """Return the sorted paths directly inside ``directory``."""
        if self._children is None:
            self._children = {}
            for path in sorted({*self.nodes, *self.implied}):
                if path:
                    self._children.setdefault(path.rpartition("/")[0], []).append(path)
        return self._children.get(directory, ())

    def resolve(self, path: str) -> str | None:
        """Return the path that ``path`` leads to when links are followed, None if it dangles.

        Absolute links start at the tree's root and ``..`` never leaves it.
        """
        pending = [part for part in path.split("/") if part]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop(0)
            if part == ".":
                continue
            if part == "..":
                del done[-1:]
                continue
            node = self.nodes.get("/".join([*done, part]))
            if node is None:
                step = "/".join([*done, part])
                if step not in self.implied:
                    return None
                done.append(part)
                continue
            if node.entry.kind != "symlink":
                done.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                return None
            if node.entry.link.startswith("/"):
                done = []
            pending = [piece for piece in node.entry.link.split("/") if piece] + pending
        return "/".join(done)

    def is_file(self, path: str) -> bool:
        """Whether ``path`` leads to a regular file."""
        target = self.resolve(path)
        node = None if target is None else self.nodes.get(target)
        return node is not None and node.entry.kind in ("file", "hardlink")

    def is_directory(self, path: str) -> bool:
        """Whether ``path`` leads to a directory."""
        target = self.resolve(path)
        node = None if target is None else self.nodes.get(target)
        return target in self.implied if node is None else node.entry.kind == "dir"

    def read(self, path: str) -> bytes:
        """Return the content of the file that ``path`` leads to; KeyError if there is none."""
        target = self.resolve(path)
        if target is None:
            raise KeyError(path)
        entry = self.nodes[target].entry
        if entry.kind == "hardlink":
            return self.read(entry.link)
        return self._read(target)

    def plus(self, generated: Iterable[Generated], removed: Iterable[str] = ()) -> Tree:
        """Return this tree without the paths ``removed`` and with ``generated`` put over it."""
        made = {item.entry.path: item for item in generated}
        gone = [path for path in removed if path in self.nodes]
        if not made and not gone:
            return self
        nodes = dict(self.nodes)
        for path in gone:
            del nodes[path]
        for path, item in made.items():
            nodes[path] = Node(item.entry, item.by)

        def read(path: str) -> bytes:
            return made[path].content if path in made else self._read(path)

        tree = Tree(nodes, read, self.packages, self.implied)
        if self._children is not None:
            new = [path for path in made if path not in self.nodes]
            tree._children = _changed(self._children, new, [path for path in gone if path not in made])
        return tree


def _changed(
    children: Mapping[str, list[str]], new: Sequence[str], gone: Sequence[str]
) -> dict[str, list[str]]:
    """Return lists of children with some paths come and gone; lists that stay the same are shared."""
    parents = {posixpath.dirname(path) for path in (*new, *gone)}
    sets = {parent: set(children.get(parent, ())) for parent in parents}
    for path in new:
        sets[posixpath.dirname(path)].add(path)
    for path in gone:
        sets[posixpath.dirname(path)].discard(path)
    return {**children, **{parent: sorted(inside) for parent, inside in sets.items()}}
