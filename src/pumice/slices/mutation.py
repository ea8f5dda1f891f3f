"""Runs the scripts of slices on their tree, and removes what was there for them only."""

from __future__ import annotations

import hashlib
import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import SliceError
from pumice.packing.selection import merged_usr_path
from pumice.slices.scripts import script_problem
from pumice.slices.starlark.budget import ScriptError
from pumice.slices.starlark.interpreter import run_script
from pumice.slices.tree import parents_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.slices.selection import SlicedPackages
    from pumice.slices.tree import SlicedEntry, SlicedTree

    Read = Callable[[SlicedEntry], bytes]

_MAX_LINKS = 40
_MAX_READ = 32 << 20


def run_scripts(tree: SlicedTree, selected: SlicedPackages, read: Read) -> SlicedTree:
    """Return the tree after the scripts of all slices, without what only they needed.

    ``read`` returns the content of a file of a package. Raises SliceError with the line of a script.
    """
    content = _Content(dict(tree), read, merged_usr=selected.merged_usr)
    functions: dict[str, dict[str, Callable[..., object]]] = {
        "content": {"read": content.read, "write": content.write, "list": content.list}
    }
    for item in selected.slices:
        if not item.mutate:
            continue
        try:
            run_script(item.mutate, functions)
        except ScriptError as error:
            raise SliceError([script_problem(selected.release, item, error)]) from None
    return _remove_temporary(content.tree)


def _remove_temporary(tree: SlicedTree) -> SlicedTree:
    kept = {path: item for path, item in tree.items() if not item.until_mutate or path.endswith("/")}
    used = {parent for path in kept for parent in parents_of(path) if not path.endswith("/")}
    for path in sorted(kept, reverse=True):
        item = kept[path]
        if not path.endswith("/"):
            continue
        is_empty = path not in used
        if item.until_mutate and is_empty:
            del kept[path]
        elif item.until_mutate or item.is_listed or not is_empty:
            used.update(parents_of(path))
    # A directory that was there only for what has been removed goes as well.
    return {path: item for path, item in kept.items() if item.is_listed or path in used}


class _Content:
    """The object ``content`` of scripts: reads and writes listed paths of the tree, and nothing else."""

    def __init__(self, tree: SlicedTree, read: Read, *, merged_usr: bool) -> None:
        self.tree = tree
        self._read = read
        self._merged_usr = merged_usr

    def read(self, path: str) -> str:
        item = self._find(path, "read")
        if item.entry.size > _MAX_READ:
            raise ScriptError(f"{path[:200]} is too large to read")
        data = item.content if not item.source else self._read(item)
        return data.decode("utf-8", "surrogateescape")

    def write(self, path: str, data: str) -> None:
        item = self._find(path, "write")
        named_item = self.tree.get(self._map(posixpath.normpath(path)))
        if not item.mutable or named_item is not item:  # links are not mutable
            raise ScriptError(f"cannot write {path[:200]}: it is not mutable")
        if item.entry.kind == "hardlink" or self._has_links(item):
            raise ScriptError(f"cannot write {path[:200]}: it is a hard link")
        if not isinstance(data, str):
            raise ScriptError("content.write needs a string")
        content = data.encode("utf-8", "surrogateescape")
        digest = hashlib.sha256(content).hexdigest()
        self.tree[f"/{item.entry.path}"] = msgspec.structs.replace(
            item,
            entry=msgspec.structs.replace(item.entry, size=len(content)),
            source="",
            content=content,
            final_sha256="" if digest == item.sha256 else digest,
        )

    def list(self, path: str) -> list[str]:
        resolved = self._resolve(path)
        directory = resolved.rstrip("/") + "/"
        if directory != "/" and directory not in self.tree:
            if resolved.rstrip("/") in self.tree:
                raise ScriptError(f"{path[:200]} is not a directory")
            raise ScriptError(f"cannot list {path[:200]}: no selected slice has it")
        names = {
            each[len(directory) :].partition("/")[0] + ("/" if "/" in each[len(directory) :] else "")
            for each in self.tree
            if each.startswith(directory) and each != directory
        }
        return sorted(names, key=lambda name: name.rstrip("/"))

    def _find(self, path: str, verb: str) -> SlicedEntry:
        resolved = self._resolve(path)
        item = self.tree.get(resolved)
        if resolved.endswith("/") or item is None or item.entry.kind == "dir":
            if resolved.rstrip("/") + "/" in self.tree:
                raise ScriptError(f"{path[:200]} is not a file")
            raise ScriptError(f"cannot {verb} {path[:200]}: no selected slice has it")
        return item

    def _has_links(self, item: SlicedEntry) -> bool:
        return any(
            other.entry.kind == "hardlink" and other.entry.link == item.entry.path
            for other in self.tree.values()
        )

    def _resolve(self, path: str) -> str:
        """Return a path with its links resolved within the tree; it ends with ``/`` if ``path`` does."""
        if not str(path).startswith("/"):
            raise ScriptError("a path of content must be an absolute path")
        ending = "/" if path.endswith("/") else ""
        pending = [part for part in path.split("/") if part]
        resolved: list[str] = []
        links = 0
        while pending:
            part = pending.pop(0)
            if part == "..":
                del resolved[-1:]
                continue
            if part == ".":
                continue
            item = self.tree.get(self._map("/" + "/".join([*resolved, part])))
            if item is None or item.entry.kind != "symlink":
                resolved.append(part)
                continue
            links += 1
            if links > _MAX_LINKS:
                raise ScriptError(f"{path[:200]} has too many links")
            if item.entry.link.startswith("/"):
                resolved = []
            pending = [each for each in item.entry.link.split("/") if each] + pending
        return self._map("/" + "/".join(resolved)) + (ending if resolved else "")

    def _map(self, path: str) -> str:
        return "/" + merged_usr_path(path[1:]) if self._merged_usr else path
