"""Formats the effective recipe as YAML or JSON, each value with the location that it comes from."""

from __future__ import annotations

from typing import Any

import msgspec

from pumice.formats.yaml import Mapping, Node, Scalar, Sequence, format_location
from pumice.recipe import arguments
from pumice.recipe.keys import RECIPE
from pumice.recipe.kinds import Flag, Integer, Kind, ListOf, Mode, Table, Text, TextOrTable
from pumice.recipe.yaml_scalars import escape_unprintable, quote_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.recipe.load import EffectiveRecipe


def format_yaml(effective: EffectiveRecipe) -> str:
    """Return the effective recipe as YAML that loads as the same recipe.

    Each value is followed by a comment with its ``file:line:col``, and the arguments that were replaced in
    it. Paths under ``files`` are as written: relative to the file in that comment.
    """
    writer = _Writer(effective.argument_uses, frozenset(effective.recipe.args))
    return "\n".join([*writer.map_lines(effective.root, RECIPE, ""), ""])


def format_json(effective: EffectiveRecipe) -> dict[str, Any]:
    """Return ``recipe``, the effective recipe, and ``sources``, JSON pointers to ``file:line:col``.

    ``arguments`` has the names that were replaced in values, by the JSON pointers of these.
    """
    sources: dict[str, str] = {}
    recipe = _plain_value(effective.root, RECIPE, "", sources)
    names_by_location = effective.argument_uses.names_by_location
    uses = {
        pointer: list(names_by_location[location])
        for pointer, location in sources.items()
        if location in names_by_location
    }
    return {"recipe": recipe, "sources": sources, "arguments": uses}


def _key_kinds(kind: Kind) -> dict[str, Kind]:
    if isinstance(kind, ListOf):  # one table instead of a list
        kind = kind.item
    kind = kind.table if isinstance(kind, TextOrTable) else kind
    return {key.name: key.kind for key in kind.keys} if isinstance(kind, Table) else {}


class _Writer(msgspec.Struct, frozen=True):
    """Writes nodes as lines of YAML."""

    uses: arguments.ArgumentUses
    names: frozenset[str]
    """The arguments of the recipe, whose ``${NAME}`` is escaped where it is literal."""

    def map_lines(self, node: Mapping, kind: Kind, indent: str) -> Iterator[str]:
        kinds = _key_kinds(kind)
        for key, value in node.items:
            head = f"{indent}{quote_text(key.text)}:"
            if kind is RECIPE and key.text == arguments.KEY and isinstance(value, Mapping) and value.items:
                yield head
                yield from self._argument_lines(value)
            else:
                yield from self._value_lines(value, kinds.get(key.text, Text()), head, indent)

    def _argument_lines(self, node: Mapping) -> Iterator[str]:
        for name, value in node.items:
            if isinstance(value, Scalar):
                source = ", set by --arg" if name.text in self.uses.given else ""
                location = escape_unprintable(format_location(value))
                yield f"  {name.text}: {quote_text(value.text)}  # {location}{source}"

    def _value_lines(self, node: Node, kind: Kind, head: str, indent: str) -> Iterator[str]:
        location = format_location(node)
        if isinstance(node, Scalar):
            names = "".join(f", ${{{name}}}" for name in self.uses.names_by_location.get(location, ()))
            yield f"{head} {self._format_scalar(node, kind)}  # {escape_unprintable(location)}{names}"
        elif not node.items:
            yield f"{head} {'[]' if isinstance(node, Sequence) else '{}'}  # {escape_unprintable(location)}"
        elif isinstance(node, Mapping):
            yield head
            yield from self.map_lines(node, kind, indent + "  ")
        else:
            yield head
            item_kind = kind.item if isinstance(kind, ListOf) else Text()
            for item in node.items:
                if isinstance(item, Mapping) and item.items:
                    first, *other_lines = self.map_lines(item, item_kind, indent + "    ")
                    yield f"{indent}  - {first.lstrip()}"
                    yield from other_lines
                else:
                    yield from self._value_lines(item, item_kind, f"{indent}  -", indent + "  ")

    def _format_scalar(self, node: Scalar, kind: Kind) -> str:
        if isinstance(kind, Flag | Integer):
            return node.text
        text = _format_mode(node) if isinstance(kind, Mode) else node.text
        return quote_text(arguments.escape_text(text, self.names))


def _format_mode(node: Scalar) -> str:
    return f"{int(node.text.removeprefix('0o'), 8):04o}"


def _plain_value(node: Node, kind: Kind, pointer: str, sources: dict[str, str]) -> Any:
    if isinstance(node, Mapping):
        kinds = _key_kinds(kind)
        return {
            key.text: _plain_value(
                value, kinds.get(key.text, Text()), f"{pointer}/{_pointer_token(key.text)}", sources
            )
            for key, value in node.items
        }
    if isinstance(node, Sequence):
        item_kind = kind.item if isinstance(kind, ListOf) else Text()
        return [
            _plain_value(item, item_kind, f"{pointer}/{number}", sources)
            for number, item in enumerate(node.items)
        ]
    sources[pointer] = format_location(node)
    if isinstance(kind, Flag):
        return node.text == "true"
    if isinstance(kind, Integer):
        return int(node.text)
    return _format_mode(node) if isinstance(kind, Mode) else node.text


def _pointer_token(key: str) -> str:
    """Return a key as a token of a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
