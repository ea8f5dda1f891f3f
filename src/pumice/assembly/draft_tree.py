"""The tree of the packages with the recipe's own files in it, before their owners are known.

Effects need the files (a certificate, a library, a sysusers.d file), and the files need effects (the
ids of their owners). So effects see the files at their final paths, owned by root. Owners are set
afterwards, and the recipe overrides what effects do to its files.
"""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.overlay import resolve_destination
from pumice.errors import ImageError
from pumice.formats import elf
from pumice.packing.segment_writer import may_be_library
from pumice.packing.tree import RECIPE_OWNER, Node, Tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.assembly.recipe_files import RecipeFiles
    from pumice.formats.elf import SharedObject
    from pumice.packing.recipe_entries import RecipeEntry


class DraftTree:
    """A tree with the recipe's files, which records whose contents effects read."""

    def __init__(self, files: RecipeFiles, items: Sequence[RecipeEntry], tree: Tree, links: Tree) -> None:
        """``links`` is ``tree`` with the links of the merged ``/usr``, such as ``bin`` and ``lib``."""
        self._sums = files.content_digests
        self._items: dict[str, RecipeEntry] = {}
        self._read_paths: set[str] = set()
        self._packages = tree
        explicit = {rule.to.strip("/") for rule in files.rules if rule.directory}
        nodes = dict(tree.nodes)
        for item in items:
            if item.entry.kind == "dir" and item.entry.path not in explicit:
                continue  # implied by the files in it
            try:
                path = resolve_destination(item.entry.path, links)
            except ImageError:
                continue  # an effect may create the parent; if none does, resolve_entries() raises this
            self._items[path] = item
            nodes[path] = Node(
                msgspec.structs.replace(item.entry, path=path), RECIPE_OWNER, self._identify_elf(item)
            )
        folders = [posixpath.dirname(path) for path in self._items]
        folders += [item.entry.path for item in items if item.entry.kind == "dir"]
        implied = frozenset(_with_ancestors(folders)) - nodes.keys()
        self.tree = Tree(nodes, self._record_read, tree.packages, implied) if items else tree

    def visible_attributes(self) -> list[list[object]]:
        """Return what effects can see of the files without reading them, for a cache key."""
        attributes: list[list[object]] = []
        for path, item in sorted(self._items.items()):
            entry = item.entry
            library_digest = self._content_digest(item) if self.tree.nodes[path].elf else ""
            attributes.append([path, entry.kind, entry.mode, entry.link, entry.size > 0, library_digest])
        return attributes

    def read_digests(self) -> dict[str, str]:
        """Return the SHA-256 of the contents that effects have read, by path."""
        return {path: self._content_digest(self._items[path]) for path in sorted(self._read_paths)}

    def matches_digests(self, reads: dict[str, str]) -> bool:
        """Whether the recipe's files at these paths have these SHA-256 digests."""
        return all(
            path in self._items and self._content_digest(self._items[path]) == digest
            for path, digest in reads.items()
        )

    def read_text(self, path: str) -> str:
        """Return the text of the recipe's file at ``path``, empty if there is none."""
        item = self._items.get(path)
        is_file = item is not None and item.entry.kind == "file"
        return self._record_read(path).decode("utf-8", "replace") if is_file else ""

    def _content_digest(self, item: RecipeEntry) -> str:
        return self._sums.get(item.entry.path, "")

    def _record_read(self, path: str) -> bytes:
        item = self._items.get(path)
        if item is None:
            return self._packages.read(path)
        self._read_paths.add(path)
        return self._read_content(item)

    def _read_content(self, item: RecipeEntry) -> bytes:
        try:
            data = item.content if isinstance(item.content, bytes) else item.content.read_bytes()
        except OSError as error:
            message = f"cannot read {str(item.content)!r}: {error.strerror}"
            raise ImageError(message, where=item.location or None) from None
        if hashlib.sha256(data).hexdigest() != self._content_digest(item):
            raise ImageError(
                f"/{item.entry.path} changed while the image was built",
                where=item.location or None,
                hint="build again",
            )
        return data

    def _identify_elf(self, item: RecipeEntry) -> SharedObject | None:
        if item.entry.kind != "file" or not may_be_library(item.entry):
            return None
        data = self._read_content(item)
        return elf.read_shared_object(lambda offset, length: data[offset : offset + length], len(data))


def _with_ancestors(paths: Iterable[str]) -> Iterable[str]:
    """Yield ``paths`` and all their parent directories, each once, without the root."""
    visited: set[str] = {""}
    for path in paths:
        step = path
        while step not in visited:
            visited.add(step)
            yield step
            step = posixpath.dirname(step)
