"""Arguments of a recipe: declared under ``args``, set by ``--arg``, and replaced in its values.

``${NAME}`` of a declared name becomes its value and ``$${NAME}`` becomes ``${NAME}``. All other text is
literal, because shell commands are full of ``${…}``. Values are replaced in the tree of a file that was
parsed already, and never replaced again, so no value can add a key, a list item or another argument.
"""

from __future__ import annotations

import re

import msgspec

from pumice.errors import Problem, UsageError
from pumice.formats.yaml import Mapping, Node, Scalar, Sequence, format_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Mapping as Map

KEY = "args"
NAME = "[A-Za-z_][A-Za-z0-9_]{0,63}"
REFERENCE = rf"\$\{{{NAME}\}}"
MAX_EXPANSION = 8 << 20
"""The most characters that all the values of a recipe with arguments may have after replacement."""

_REFERENCE = re.compile(rf"(\$?)\$\{{({NAME})\}}")
_LITERAL_KEYS = (KEY, "extend")
"""Keys whose values are read before the arguments are known."""


class ArgumentUses(msgspec.Struct, frozen=True):
    """Where a recipe uses its arguments."""

    given: frozenset[str] = frozenset()
    """Names whose value is not the recipe's default."""
    names_by_location: dict[str, tuple[str, ...]] = {}
    """The names that were replaced in the value at a ``file:line:column``."""


def declared_arguments(root: Mapping) -> dict[str, Scalar]:
    """Return the arguments that one recipe file declares, with the nodes of their defaults.

    Malformed ones are left out: reading the file reports them.
    """
    for key, node in root.items:
        if key.text == KEY and isinstance(node, Mapping):
            return {
                name.text: default
                for name, default in node.items
                if isinstance(default, Scalar) and re.fullmatch(NAME, name.text)
            }
    return {}


def is_required(default: Scalar) -> bool:
    """Return whether an argument has no default."""
    return default.is_plain and not default.text


def reject_unknown_names(values: Map[str, str], declared: Collection[str], recipe: str) -> None:
    """Raise UsageError for a value of an argument that the recipe does not declare."""
    for name in values:
        if name not in declared:
            from pumice.recipe.hints import suggest_word

            allowed = f"arguments: {', '.join(sorted(declared))}" if declared else ""
            hint = (
                suggest_word(name, declared)
                or allowed
                or f"declare it in the recipe: 'args: {{{name[:80]}: default}}'"
            )
            raise UsageError(f"the recipe has no argument {name[:80]!r}", where=recipe, hint=hint)


def check_value(name: str, value: str) -> None:
    """Raise UsageError for a value from outside of the recipe that no recipe could contain."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the value of the argument {name[:80]!r} is not UTF-8") from None
    if "\0" in value:
        raise UsageError(f"the value of the argument {name[:80]!r} contains a NUL character")


def replace_text(text: str, values: Map[str, str]) -> str:
    """Return ``text`` with each ``${NAME}`` of ``values`` replaced."""

    def expand(match: re.Match[str]) -> str:
        if match[2] not in values:
            return match[0]
        return match[0][1:] if match[1] else values[match[2]]

    return _REFERENCE.sub(expand, text)


def escape_text(text: str, names: Collection[str]) -> str:
    """Return the text that `replace_text` turns into ``text`` whatever the values of ``names`` are."""
    return re.sub(REFERENCE, lambda match: f"${match[0]}" if match[0][2:-1] in names else match[0], text)


class ArgumentReplacer:
    """Replaces arguments in the trees of all files of a recipe, and records where.

    ``values`` has the values of all of them; each file sees those that it or a recipe that it extends
    declares, so that a new argument cannot change the text of an extended recipe.
    """

    def __init__(self, values: Map[str, str]) -> None:
        self._values = values
        self._size = 0
        self.names_by_location: dict[str, tuple[str, ...]] = {}

    def replace(self, root: Mapping, visible: Collection[str]) -> Mapping:
        """Return the tree of a file with its arguments replaced; raises Problem if it gets too large."""
        values = {name: self._values[name] for name in visible}
        items: list[tuple[Scalar, Node]] = []
        for key, node in root.items:
            if key.text == KEY and isinstance(node, Mapping):
                items.append((key, _set_values(node, values)))
            else:
                items.append((key, node if key.text in _LITERAL_KEYS else self._replace_node(node, values)))
        return Mapping(tuple(items), root.file, root.line, root.column)

    def _replace_node(self, node: Node, values: Map[str, str]) -> Node:
        if isinstance(node, Scalar):
            return self._replace_scalar(node, values)
        if isinstance(node, Sequence):
            children = tuple(self._replace_node(item, values) for item in node.items)
            return Sequence(children, node.file, node.line, node.column)
        items = tuple((key, self._replace_node(item, values)) for key, item in node.items)
        return Mapping(items, node.file, node.line, node.column)

    def _replace_scalar(self, node: Scalar, values: Map[str, str]) -> Scalar:
        if "${" not in node.text:
            return node
        matches = [match for match in _REFERENCE.finditer(node.text) if match[2] in values]
        names = [match[2] for match in matches if not match[1]]
        # Checked before: a short recipe can ask for more text than there is memory.
        self._size += len(node.text) + sum(len(values[name]) for name in names)
        if self._size > MAX_EXPANSION:
            raise Problem(
                f"the values are longer than {MAX_EXPANSION >> 20} MiB after replacing arguments",
                where=format_location(node),
            )
        if not matches:
            return node
        if names:
            self.names_by_location[format_location(node)] = tuple(dict.fromkeys(names))
        # Not plain: an empty value is an empty string, not a missing value.
        return Scalar(replace_text(node.text, values), False, node.file, node.line, node.column)


def _set_values(node: Mapping, values: Map[str, str]) -> Mapping:
    """Return the mapping under ``args`` with the values that the arguments have."""
    items = tuple(
        (name, Scalar(values[name.text], False, default.file, default.line, default.column))
        if name.text in values and isinstance(default, Scalar)
        else (name, default)
        for name, default in node.items
    )
    return Mapping(items, node.file, node.line, node.column)


def describe_changes(old: Map[str, str], new: Map[str, str]) -> str:
    """Return how arguments differ, such as ``VERSION 1.2 -> 1.3``, empty if they do not."""
    changes = []
    for name in sorted({*old, *new}):
        if name not in old:
            changes.append(f"{name} {_shorten(new[name])} added")
        elif name not in new:
            changes.append(f"{name} {_shorten(old[name])} removed")
        elif old[name] != new[name]:
            changes.append(f"{name} {_shorten(old[name])} -> {_shorten(new[name])}")
    return ", ".join(changes)


def _shorten(value: str) -> str:
    if re.fullmatch(r"[!-~]{1,60}", value):
        return value
    return repr(value if len(value) <= 60 else value[:57] + "...")
