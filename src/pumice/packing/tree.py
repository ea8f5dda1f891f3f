"""The file tree of an image, before it is written: entries by path, with contents on demand."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.elf import SharedObject
from pumice.formats.tar import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_MAX_LINKS = 40
RECIPE_OWNER = "files"
"""The owner of nodes that come from the recipe's files."""


class Node(msgspec.Struct, frozen=True, gc=False):
    """An entry of the tree, the package or effect that owns it, and its ELF facts."""

    entry: Entry
    owner: str = ""
    elf: SharedObject | None = None


class PackageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The metadata of a package: its control paragraph and its other control files.

    ``fields`` keeps the paragraph's order and text; ``files`` holds ``postinst``, ``conffiles``,
    ``triggers`` and so on, except ``control`` and ``md5sums``. ``conffiles`` maps each
    configuration file's path in the package (``/etc/x``) to its MD5 in hexadecimal.
    ``installed`` is false for ``role: base-data``: the files are used, but dpkg does not list the package.
    """

    name: str
    version: str
    architecture: str
    fields: dict[str, str]
    files: dict[str, bytes] = {}
    conffiles: dict[str, str] = {}
    installed: bool = True


class GeneratedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that no package ships; ``origin`` names the effect or `RECIPE_OWNER`.

    It replaces an existing entry at the same path.
    """

    entry: Entry
    content: bytes = b""
    origin: str


class Tree:
    """Nodes by path, with contents on demand; immutable."""

    def __init__(
        self,
        nodes: Mapping[str, Node],
        read_content: Callable[[str], bytes],
        packages: Sequence[PackageFacts] = (),
        implied: frozenset[str] = frozenset(),
    ) -> None:
        """``read`` returns the content of the file at a path of ``nodes``.

        ``implied`` are directories that exist only as parents and have no mode or owner yet. They are
        not in ``nodes``, but paths resolve through them.
        """
        self.nodes = nodes
        self.implied = implied
        self.packages = tuple(packages)
        self._read_content = read_content
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
        """Return ``path`` with all links resolved; None if it does not exist.

        Absolute links are relative to the root of the tree, and ``..`` does not leave it.
        """
        pending = [component for component in path.split("/") if component]
        resolved: list[str] = []
        link_count = 0
        while pending:
            component = pending.pop(0)
            if component == ".":
                continue
            if component == "..":
                del resolved[-1:]
                continue
            node = self.nodes.get("/".join([*resolved, component]))
            if node is None:
                step = "/".join([*resolved, component])
                if step not in self.implied:
                    return None
                resolved.append(component)
                continue
            if node.entry.kind != "symlink":
                resolved.append(component)
                continue
            link_count += 1
            if link_count > _MAX_LINKS:
                return None
            if node.entry.link.startswith("/"):
                resolved = []
            pending = [component for component in node.entry.link.split("/") if component] + pending
        return "/".join(resolved)

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
        """Return the content of the file at ``path``, following links; raise KeyError if there is none."""
        target = self.resolve(path)
        if target is None:
            raise KeyError(path)
        entry = self.nodes[target].entry
        if entry.kind == "hardlink":
            return self.read(entry.link)
        return self._read_content(target)

    def with_packages(self, packages: Iterable[PackageFacts]) -> Tree:
        """Return this tree with the facts of further packages, none of whose files are in it."""
        tree = Tree(self.nodes, self._read_content, (*self.packages, *packages), self.implied)
        tree._children = self._children
        return tree

    def with_entries(self, generated: Iterable[GeneratedEntry], removed: Iterable[str] = ()) -> Tree:
        """Return a new tree without the paths ``removed`` and with the entries ``generated``."""
        entries = {generated_entry.entry.path: generated_entry for generated_entry in generated}
        removed_paths = [path for path in removed if path in self.nodes]
        if not entries and not removed_paths:
            return self
        nodes = dict(self.nodes)
        for path in removed_paths:
            del nodes[path]
        for path, generated_entry in entries.items():
            nodes[path] = Node(generated_entry.entry, generated_entry.origin)

        def read_content(path: str) -> bytes:
            return entries[path].content if path in entries else self._read_content(path)

        tree = Tree(nodes, read_content, self.packages, self.implied)
        if self._children is not None:
            new_paths = [path for path in entries if path not in self.nodes]
            tree._children = _update_children(
                self._children, new_paths, [path for path in removed_paths if path not in entries]
            )
        return tree


def _update_children(
    children: Mapping[str, list[str]], new_paths: Sequence[str], removed_paths: Sequence[str]
) -> dict[str, list[str]]:
    """Return the updated lists of children; unchanged lists are shared."""
    parents = {posixpath.dirname(path) for path in (*new_paths, *removed_paths)}
    sets = {parent: set(children.get(parent, ())) for parent in parents}
    for path in new_paths:
        sets[posixpath.dirname(path)].add(path)
    for path in removed_paths:
        sets[posixpath.dirname(path)].discard(path)
    return {**children, **{parent: sorted(names) for parent, names in sets.items()}}
