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

    def __init__(self, files: RecipeFiles, entries: Sequence[RecipeEntry], tree: Tree, links: Tree) -> None:
        """``links`` is ``tree`` with the links of the merged ``/usr``, such as ``bin`` and ``lib``."""
        self._sums = files.content_digests
        self._entries_by_path: dict[str, RecipeEntry] = {}
        self._read_paths: set[str] = set()
        self._packages = tree
        explicit = {rule.to.strip("/") for rule in files.rules if rule.directory}
        nodes = dict(tree.nodes)
        for recipe_entry in entries:
            if recipe_entry.entry.kind == "dir" and recipe_entry.entry.path not in explicit:
                continue  # implied by the files in it
            try:
                path = resolve_destination(recipe_entry.entry.path, links)
            except ImageError:
                continue  # an effect may create the parent; if none does, resolve_entries() raises this
            self._entries_by_path[path] = recipe_entry
            nodes[path] = Node(
                msgspec.structs.replace(recipe_entry.entry, path=path),
                RECIPE_OWNER,
                self._identify_elf(recipe_entry),
            )
        folders = [posixpath.dirname(path) for path in self._entries_by_path]
        folders += [recipe_entry.entry.path for recipe_entry in entries if recipe_entry.entry.kind == "dir"]
        implied = frozenset(_with_ancestors(folders)) - nodes.keys()
        self.tree = Tree(nodes, self._record_read, tree.packages, implied) if entries else tree

    def visible_attributes(self) -> list[list[object]]:
        """Return what effects can see of the files without reading them, for a cache key."""
        attributes: list[list[object]] = []
        for path, recipe_entry in sorted(self._entries_by_path.items()):
            entry = recipe_entry.entry
            library_digest = self._content_digest(recipe_entry) if self.tree.nodes[path].elf else ""
            attributes.append([path, entry.kind, entry.mode, entry.link, entry.size > 0, library_digest])
        return attributes

    def read_digests(self) -> dict[str, str]:
        """Return the SHA-256 of the contents that effects have read, by path."""
        return {path: self._content_digest(self._entries_by_path[path]) for path in sorted(self._read_paths)}

    def matches_digests(self, reads: dict[str, str]) -> bool:
        """Whether the recipe's files at these paths have these SHA-256 digests."""
        return all(
            path in self._entries_by_path and self._content_digest(self._entries_by_path[path]) == digest
            for path, digest in reads.items()
        )

    def read_text(self, path: str) -> str:
        """Return the text of the recipe's file at ``path``, empty if there is none."""
        recipe_entry = self._entries_by_path.get(path)
        is_file = recipe_entry is not None and recipe_entry.entry.kind == "file"
        return self._record_read(path).decode("utf-8", "replace") if is_file else ""

    def _content_digest(self, recipe_entry: RecipeEntry) -> str:
        return self._sums.get(recipe_entry.entry.path, "")

    def _record_read(self, path: str) -> bytes:
        recipe_entry = self._entries_by_path.get(path)
        if recipe_entry is None:
            return self._packages.read(path)
        self._read_paths.add(path)
        return self._read_content(recipe_entry)

    def _read_content(self, recipe_entry: RecipeEntry) -> bytes:
        try:
            data = (
                recipe_entry.content
                if isinstance(recipe_entry.content, bytes)
                else recipe_entry.content.read_bytes()
            )
        except OSError as error:
            message = f"cannot read {str(recipe_entry.content)!r}: {error.strerror}"
            raise ImageError(message, where=recipe_entry.location or None) from None
        if hashlib.sha256(data).hexdigest() != self._content_digest(recipe_entry):
            raise ImageError(
                f"/{recipe_entry.entry.path} changed while the image was built",
                where=recipe_entry.location or None,
                hint="build again",
            )
        return data

    def _identify_elf(self, recipe_entry: RecipeEntry) -> SharedObject | None:
        if recipe_entry.entry.kind != "file" or not may_be_library(recipe_entry.entry):
            return None
        data = self._read_content(recipe_entry)
        return elf.read_shared_object(lambda offset, length: data[offset : offset + length], len(data))


def _with_ancestors(paths: Iterable[str]) -> Iterable[str]:
    """Yield ``paths`` and all their parent directories, each once, without the root."""
    visited: set[str] = {""}
    for path in paths:
        ancestor = path
        while ancestor not in visited:
            visited.add(ancestor)
            yield ancestor
            ancestor = posixpath.dirname(ancestor)
