"""Recipe files and the recipes that they extend, merged into one tree whose nodes know their file."""

from __future__ import annotations

import os
import posixpath

import msgspec

from pumice.errors import Problem
from pumice.files import open_regular
from pumice.formats import yaml
from pumice.formats.yaml import Mapping, Node, Scalar, Sequence, format_location
from pumice.recipe.keys import RECIPE
from pumice.recipe.kinds import Kind, ListOf, MapOf, Table, Text
from pumice.recipe.typed import BAD, Reader, identity

_MAX_FILES = 64
_EXTEND = next(key for key in RECIPE.keys if key.name == "extend")


class File(msgspec.Struct):
    """One recipe file: its tree, and the files it extends, in their order.

    ``folder`` is relative to the main recipe's.
    """

    name: str
    folder: str
    root: Mapping | None = None
    parents: list[File] = []
    merged: Mapping | None = None


class Files:
    """All files of one recipe, in the order they were met; ``problems`` is what is wrong with them."""

    def __init__(self, main: str) -> None:
        self.problems: list[Problem] = []
        self._main = main
        self._known: dict[str, File] = {}
        self._under_way: list[str] = []
        self.main = self._load(File(main, ""), None)

    def folders(self) -> dict[str, str]:
        """Return each file's folder relative to the main recipe's, by the file's name in places."""
        return {file.name: file.folder for file in self._known.values()}

    def effective(self) -> Mapping | None:
        """Return the tree of the main file over all that it extends; None if there is none.

        What can be checked file by file is checked first: a merged tree hides what it overrides.
        """
        if self.main is None or self.main.root is None:
            return None
        if len(self._known) > 1:
            for file in self._known.values():
                if file.root is not None:
                    Reader(self.problems, self.folders(), main=self._main, complete=False).table(
                        file.root, RECIPE
                    )
        return None if self.problems else _effective(self.main)

    def _load(self, file: File, asked_at: Node | None) -> File | None:
        real = os.path.realpath(file.name)
        if real in self._under_way:
            self._add(
                f"{self._label(file, asked_at) or 'the recipe'} extends itself",
                asked_at,
                "a recipe cannot build on what builds on it",
            )
            return None
        if real in self._known:
            return self._known[real]
        if len(self._known) >= _MAX_FILES:
            self._add(f"more than {_MAX_FILES} recipes extend each other", asked_at, None)
            return None
        data = self._bytes(file, asked_at)
        if data is None:
            return None
        self._known[real] = file
        document = yaml.read_document(data, file.name, quote=asked_at is None)
        self.problems.extend(document.problems)
        if document.root is None and not document.problems:
            self.problems.append(
                Problem(
                    "the recipe is empty", where=f"{file.name}:1:1", hint="'pumice init' writes a starter"
                )
            )
        if isinstance(document.root, Mapping):
            file.root = document.root
            self._under_way.append(real)
            file.parents = self._parents(file, document.root)
            self._under_way.pop()
        elif document.root is not None:
            Reader(self.problems, {}, main=self._main).table(document.root, RECIPE)
        return file

    def _parents(self, file: File, root: Mapping) -> list[File]:
        items: list[Node] = []
        for key, node in root.items:
            # What is wrong with the key itself is noted when the file is checked.
            if key.text == _EXTEND.name and Reader([], {}, main=self._main).read(node, _EXTEND) is not BAD:
                items.extend(node.items if isinstance(node, Sequence) else (node,))
        found = [self._load(self._parent(file, item), item) for item in items if isinstance(item, Scalar)]
        return [parent for parent in found if parent is not None]

    def _parent(self, file: File, item: Scalar) -> File:
        path = posixpath.normpath(posixpath.join(file.folder, item.text))
        # The name is shown as a person would write it: relative to the same place as the main one's.
        name = os.path.normpath(os.path.join(os.path.dirname(self._main), path))  # noqa: PTH118, PTH120 - as text
        return File(name, posixpath.dirname(path))

    def _bytes(self, file: File, asked_at: Node | None) -> bytes | None:
        try:
            # What a person names may be a pipe; what a recipe names is a file that was put there.
            with open(file.name, "rb") if asked_at is None else open_regular(file.name) as stream:  # noqa: PTH123
                return stream.read(yaml.MAX_BYTES + 1)
        except IsADirectoryError:
            message = f"{self._label(file, asked_at) or 'the recipe'} is a folder, not a recipe"
            self._add(message, asked_at, "name the YAML file in it")
        except FileNotFoundError:
            self._add(
                f"there is no recipe {self._label(file, asked_at) or 'of that name'}",
                asked_at,
                "'pumice init' writes one" if asked_at is None else None,
            )
        except (OSError, ValueError) as error:
            why = error.strerror or "" if isinstance(error, OSError) else str(error)
            self._add(
                f"the recipe{self._label(file, asked_at)} cannot be read ({why.lower()})", asked_at, None
            )
        return None

    def _label(self, file: File, asked_at: Node | None) -> str:
        """Return ``'name'``; nothing where only another recipe's text says it, which is not quoted."""
        return f"'{file.name}'" if asked_at is None or asked_at.file == self._main else ""

    def _add(self, message: str, node: Node | None, hint: str | None) -> None:
        self.problems.append(
            Problem(message, where=None if node is None else format_location(node), hint=hint)
        )


def _effective(file: File) -> Mapping:
    assert file.root is not None  # noqa: S101 - checked by whoever calls
    if file.merged is None:
        below: Node | None = None
        for parent in file.parents:
            below = _effective(parent) if below is None else merge(RECIPE, below, _effective(parent))
        tree = _relocated(file.root, RECIPE, file.folder)
        if below is not None:
            tree = merge(RECIPE, below, tree)
        assert isinstance(tree, Mapping)  # noqa: S101 - maps merge to a map
        if file.parents:
            kept = tuple(item for item in tree.items if item[0].text != _EXTEND.name)
            tree = Mapping(kept, tree.file, tree.line, tree.column)
        file.merged = tree
    return file.merged


def merge(kind: Kind, below: Node, above: Node) -> Node:
    """Return ``above`` over ``below``: maps key by key, lists one after the other, else ``above``."""
    if isinstance(kind, Table | MapOf) and isinstance(below, Mapping) and isinstance(above, Mapping):
        return _merge_maps(kind, below, above)
    if isinstance(kind, ListOf) and kind.merge == "append":
        return _merge_lists(kind, below, above)
    return above


def _merge_maps(kind: Table | MapOf, below: Mapping, above: Mapping) -> Mapping:
    kinds: dict[str, Kind] = {key.name: key.kind for key in kind.keys} if isinstance(kind, Table) else {}
    over = {key.text: (key, value) for key, value in above.items}
    items = []
    for key, value in below.items:
        if key.text not in over:
            items.append((key, value))
            continue
        upper_key, upper = over.pop(key.text)
        found = kinds.get(key.text)
        items.append((upper_key, upper if found is None else merge(found, value, upper)))
    return Mapping((*items, *over.values()), above.file, above.line, above.column)


def _merge_lists(kind: ListOf, below: Node, above: Node) -> Node:
    if not isinstance(below, Sequence) or not isinstance(above, Sequence):
        return above
    over: dict[str, Node] = {}
    there = {format_location(item) for item in below.items}
    added: dict[str, Node] = {}
    for item in above.items:
        same = identity(item, kind)
        if same is not None:
            over[same] = item
        # A recipe that is extended by two ways brings its items once.
        if format_location(item) not in there:
            added[format_location(item)] = item
    items: list[Node] = []
    for item in below.items:
        same = identity(item, kind)
        upper = over.get(same) if same is not None else None
        if upper is None:
            items.append(item)
            continue
        added.pop(format_location(upper), None)
        if not _cancels(kind, item, upper):
            items.append(merge(kind.item, item, upper) if isinstance(kind.item, Table) else upper)
    return Sequence((*items, *added.values()), above.file, above.line, above.column)


def _cancels(kind: ListOf, below: Node, above: Node) -> bool:
    """Whether ``-name`` above takes back a request below, so that neither is left."""
    if kind.identity != "package" or not isinstance(below, Scalar) or not isinstance(above, Scalar):
        return False
    return above.text.startswith("-") and not below.text.startswith("-")


def _relocated(node: Node, kind: Kind, folder: str) -> Node:
    """Return ``node`` with its paths as seen from the main recipe's folder."""
    if not folder:
        return node
    if isinstance(node, Mapping) and isinstance(kind, Table):
        kinds = {key.name: key.kind for key in kind.keys}
        items = tuple((key, _relocated(value, kinds[key.text], folder)) for key, value in node.items)
        return Mapping(items, node.file, node.line, node.column)
    if isinstance(node, Sequence) and isinstance(kind, ListOf):
        found = tuple(_relocated(item, kind.item, folder) for item in node.items)
        return Sequence(found, node.file, node.line, node.column)
    if isinstance(node, Scalar) and isinstance(kind, Text) and _is_relative(node.text, kind):
        path = posixpath.normpath(posixpath.join(folder, node.text))
        path = path if path.startswith(("../", "/")) else "./" + path
        return Scalar(path, node.is_plain, node.file, node.line, node.column)
    return node


def _is_relative(text: str, kind: Text) -> bool:
    return kind.path == "always" or (kind.path == "dotted" and text.startswith("."))
