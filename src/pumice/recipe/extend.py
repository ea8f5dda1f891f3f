"""Loads a recipe file and those it extends, and merges them into one tree whose nodes keep their file."""

from __future__ import annotations

import os
import posixpath

import msgspec

from pumice.errors import Problem
from pumice.files import open_regular
from pumice.formats import yaml
from pumice.formats.yaml import Mapping, Node, Scalar, Sequence, format_location
from pumice.recipe import arguments
from pumice.recipe.keys import RECIPE
from pumice.recipe.kinds import Kind, ListOf, MapOf, Table, Text
from pumice.recipe.typed import BAD, RecipeReader, identify_item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping as Map

_MAX_FILES = 64
_EXTEND = next(key for key in RECIPE.keys if key.name == "extend")


class RecipeFile(msgspec.Struct):
    """A recipe file: its tree, and the files that it extends, in their order.

    ``folder`` is relative to the directory of the main recipe; ``merged`` is the cached result.
    """

    name: str
    folder: str
    root: Mapping | None = None
    parents: list[RecipeFile] = []
    merged: Mapping | None = None
    declared: dict[str, Scalar] | None = None
    """The cached arguments that the file or a file that it extends declares, with their defaults."""


class RecipeLoader:
    """Loads the files of one recipe, in the order of first use; ``problems`` are those of all files.

    ``text`` is used instead of the content of the file ``main``.
    """

    def __init__(self, main: str, text: bytes | None = None) -> None:
        self._text = text
        self.problems: list[Problem] = []
        self._main = main
        self._files: dict[str, RecipeFile] = {}
        self._loading: list[str] = []
        self.argument_uses = arguments.ArgumentUses()
        self.main = self._load(RecipeFile(main, ""), None)

    def folders(self) -> dict[str, str]:
        """Return the directory of each file, relative to the main recipe's, by the name in locations."""
        return {file.name: file.folder for file in self._files.values()}

    def declared_arguments(self) -> dict[str, Scalar]:
        """Return the arguments of the main file and of all that it extends, with their defaults."""
        return _declared_arguments(self.main) if self.main is not None else {}

    def merged_tree(self, values_by_name: Map[str, str]) -> Mapping | None:
        """Return the tree of the main file merged over all that it extends; None if it is not valid.

        ``values_by_name`` are values of arguments. Each file is checked before, because a merged tree hides
        what it overrides. Raises UsageError for an argument that is not declared.
        """
        if (
            self.main is None
            or self.main.root is None
            or not self._replace_arguments(self.main, values_by_name)
        ):
            return None
        if len(self._files) > 1:
            for file in self._files.values():
                if file.root is not None:
                    RecipeReader(self.problems, self.folders(), main=self._main, complete=False).read_table(
                        file.root, RECIPE
                    )
        return None if self.problems else _merge_file(self.main)

    def _replace_arguments(self, main: RecipeFile, values_by_name: Map[str, str]) -> bool:
        """Replace the arguments in all files; if one has no value, add a problem and return False."""
        declared = _declared_arguments(main)
        if not self.problems:  # a file that could not be read may declare them
            arguments.reject_unknown_names(values_by_name, declared, self._main)
        if not declared:
            return True
        missing = [
            name
            for name, node in declared.items()
            if name not in values_by_name and arguments.is_required(node)
        ]
        for name in missing:
            self._add_problem(f"the argument {name} has no value", declared[name], f"pass --arg {name}=VALUE")
        if missing:
            return False
        values = {name: values_by_name.get(name, default.text) for name, default in declared.items()}
        replacer = arguments.ArgumentReplacer(values)
        try:
            for file in self._files.values():
                if file.root is not None:
                    file.root = replacer.replace(file.root, _declared_arguments(file))
        except Problem as problem:
            self.problems.append(problem)
            return False
        self.argument_uses = arguments.ArgumentUses(frozenset(values_by_name), replacer.names_by_location)
        return True

    def _load(self, file: RecipeFile, named_at: Node | None) -> RecipeFile | None:
        real = os.path.realpath(file.name)
        if real in self._loading:
            self._add_problem(
                f"the recipe{self._label(file, named_at)} extends itself",
                named_at,
                "remove one 'extend' of the cycle",
            )
            return None
        if real in self._files:
            return self._files[real]
        if len(self._files) >= _MAX_FILES:
            self._add_problem(f"cannot load more than {_MAX_FILES} recipe files", named_at, None)
            return None
        data = self._read_bytes(file, named_at) if named_at or self._text is None else self._text
        if data is None:
            return None
        self._files[real] = file
        document = yaml.read_document(data, file.name, quote=named_at is None)
        self.problems.extend(document.problems)
        if document.root is None and not document.problems:
            self.problems.append(
                Problem(
                    "the recipe is empty", where=f"{file.name}:1:1", hint="run 'pumice init' to write one"
                )
            )
        if isinstance(document.root, Mapping):
            file.root = document.root
            self._loading.append(real)
            file.parents = self._load_parents(file, document.root)
            self._loading.pop()
        elif document.root is not None:
            RecipeReader(self.problems, {}, main=self._main).read_table(document.root, RECIPE)
        return file

    def _load_parents(self, file: RecipeFile, root: Mapping) -> list[RecipeFile]:
        parent_nodes: list[Node] = []
        for key, node in root.items:
            # Problems of the key itself are added when the file is checked.
            if (
                key.text == _EXTEND.name
                and RecipeReader([], {}, main=self._main).read_value(node, _EXTEND) is not BAD
            ):
                parent_nodes.extend(node.items if isinstance(node, Sequence) else (node,))
        parents = [
            self._load(self._parent_file(file, parent_node), parent_node)
            for parent_node in parent_nodes
            if isinstance(parent_node, Scalar)
        ]
        return [parent for parent in parents if parent is not None]

    def _parent_file(self, file: RecipeFile, parent_node: Scalar) -> RecipeFile:
        path = posixpath.normpath(posixpath.join(file.folder, parent_node.text))
        # Locations show the name relative to the same directory as the name of the main recipe.
        name = os.path.normpath(os.path.join(os.path.dirname(self._main), path))  # noqa: PTH118, PTH120 - as text
        return RecipeFile(name, posixpath.dirname(path))

    def _read_bytes(self, file: RecipeFile, named_at: Node | None) -> bytes | None:
        try:
            # The command line may name a pipe; a recipe may name only regular files.
            with open(file.name, "rb") if named_at is None else open_regular(file.name) as stream:  # noqa: PTH123 - as open_regular()
                return stream.read(yaml.MAX_BYTES + 1)
        except IsADirectoryError:
            message = f"the recipe{self._label(file, named_at)} is a directory, not a file"
            self._add_problem(message, named_at, "pass the YAML file in it")
        except FileNotFoundError:
            self._add_problem(
                f"the recipe{self._label(file, named_at)} does not exist",
                named_at,
                "run 'pumice init' to write one" if named_at is None else None,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror or "" if isinstance(error, OSError) else str(error)
            self._add_problem(
                f"cannot read the recipe{self._label(file, named_at)}: {reason.lower()}", named_at, None
            )
        return None

    def _label(self, file: RecipeFile, named_at: Node | None) -> str:
        """Return `` 'name'`` for a message, empty for a name from another recipe, which is not quoted."""
        return f" '{file.name}'" if named_at is None or named_at.file == self._main else ""

    def _add_problem(self, message: str, node: Node | None, hint: str | None) -> None:
        self.problems.append(
            Problem(message, where=None if node is None else format_location(node), hint=hint)
        )


def _declared_arguments(file: RecipeFile) -> dict[str, Scalar]:
    """Return the arguments of a file and of all that it extends; its own defaults override theirs."""
    if file.declared is None:
        file.declared = {}
        for parent in file.parents:
            file.declared |= _declared_arguments(parent)
        if file.root is not None:
            file.declared |= arguments.declared_arguments(file.root)
    return file.declared


def _merge_file(file: RecipeFile) -> Mapping:
    assert file.root is not None  # noqa: S101 - callers check it
    if file.merged is None:
        base: Node | None = None
        for parent in file.parents:
            base = _merge_file(parent) if base is None else merge_nodes(RECIPE, base, _merge_file(parent))
        tree = _relocate(file.root, RECIPE, file.folder)
        if base is not None:
            tree = merge_nodes(RECIPE, base, tree)
        assert isinstance(tree, Mapping)  # noqa: S101 - two mappings merge to a mapping
        if file.parents:
            items = tuple(item for item in tree.items if item[0].text != _EXTEND.name)
            tree = Mapping(items, tree.file, tree.line, tree.column)
        file.merged = tree
    return file.merged


def merge_nodes(kind: Kind, base: Node, override: Node) -> Node:
    """Return ``override`` merged over ``base``: mappings by key, lists appended, else ``override``."""
    if isinstance(kind, Table | MapOf) and isinstance(base, Mapping) and isinstance(override, Mapping):
        return _merge_maps(kind, base, override)
    if isinstance(kind, ListOf) and kind.merge == "append":
        return _merge_lists(kind, base, override)
    return override


def _merge_maps(kind: Table | MapOf, base: Mapping, override: Mapping) -> Mapping:
    kinds: dict[str, Kind] = {key.name: key.kind for key in kind.keys} if isinstance(kind, Table) else {}
    overrides = {key.text: (key, value) for key, value in override.items}
    items = []
    for key, value in base.items:
        if key.text not in overrides:
            items.append((key, value))
            continue
        override_key, override_value = overrides.pop(key.text)
        value_kind = kinds.get(key.text)
        items.append(
            (
                override_key,
                override_value if value_kind is None else merge_nodes(value_kind, value, override_value),
            )
        )
    return Mapping((*items, *overrides.values()), override.file, override.line, override.column)


def _merge_lists(kind: ListOf, base: Node, override: Node) -> Node:
    if not isinstance(base, Sequence) or not isinstance(override, Sequence):
        return override
    overrides: dict[str, Node] = {}
    base_places = {format_location(item) for item in base.items}
    added_items: dict[str, Node] = {}
    for item in override.items:
        item_identity = identify_item(item, kind)
        if item_identity is not None:
            overrides[item_identity] = item
        # A recipe that is extended twice, by different paths, contributes its items once.
        if format_location(item) not in base_places:
            added_items[format_location(item)] = item
    items: list[Node] = []
    for item in base.items:
        item_identity = identify_item(item, kind)
        override_item = overrides.get(item_identity) if item_identity is not None else None
        if override_item is None:
            items.append(item)
            continue
        added_items.pop(format_location(override_item), None)
        if not _cancels(kind, item, override_item):
            items.append(
                merge_nodes(kind.item, item, override_item) if isinstance(kind.item, Table) else override_item
            )
    return Sequence((*items, *added_items.values()), override.file, override.line, override.column)


def _cancels(kind: ListOf, base: Node, override: Node) -> bool:
    """Whether ``override`` is ``-name`` and removes the request ``base``, so that neither remains."""
    if kind.identity != "package" or not isinstance(base, Scalar) or not isinstance(override, Scalar):
        return False
    return override.text.startswith("-") and not base.text.startswith("-")


def _relocate(node: Node, kind: Kind, folder: str) -> Node:
    """Return ``node`` with its paths relative to the directory of the main recipe."""
    if not folder:
        return node
    if isinstance(node, Mapping) and isinstance(kind, Table):
        kinds = {key.name: key.kind for key in kind.keys}
        items = tuple((key, _relocate(value, kinds[key.text], folder)) for key, value in node.items)
        return Mapping(items, node.file, node.line, node.column)
    if isinstance(node, Sequence) and isinstance(kind, ListOf):
        children = tuple(_relocate(item, kind.item, folder) for item in node.items)
        return Sequence(children, node.file, node.line, node.column)
    if isinstance(node, Scalar) and isinstance(kind, Text) and _is_relative(node.text, kind):
        path = posixpath.normpath(posixpath.join(folder, node.text))
        path = path if path.startswith(("../", "/")) else "./" + path
        return Scalar(path, node.is_plain, node.file, node.line, node.column)
    return node


def _is_relative(text: str, kind: Text) -> bool:
    return kind.path == "always" or (kind.path == "dotted" and text.startswith("."))
