"""Reads the nodes of a recipe as values, by the table of keys, and collects all problems."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from pumice.errors import Problem
from pumice.formats.yaml import Mapping, Node, Scalar, Sequence, format_location
from pumice.recipe import grammar, hints
from pumice.recipe.kinds import (
    Choice,
    Duration,
    Flag,
    Integer,
    InvalidValue,
    Key,
    Kind,
    ListOf,
    MapOf,
    Mode,
    Table,
    Text,
    TextOrTable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Map

BAD = object()
"""The result for a value that is not valid; its problem has been added."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_MAX_SECONDS = 86400 * 30
_MAX_HINTS = 100


class RecipeReader:
    """Reads a tree and adds its problems to ``problems``.

    ``folders`` maps each file that nodes came from to its folder, relative to the main recipe's.
    ``complete=False`` reads one file of several that extend each other: a key that is missing here
    may stand in another. Problems quote the file called ``main`` only: any other was named by a
    recipe, not by the person who reads the messages, and may be no recipe at all.
    """

    def __init__(
        self, problems: list[Problem], folders: Map[str, str], *, main: str, complete: bool = True
    ) -> None:
        self._problems = problems
        self._main = main
        self._folders = folders
        self._complete = complete

    def read_value(self, node: Node, key: Key) -> Any:
        """Return the value of ``key``, or `BAD` and add problems."""
        if isinstance(node, Scalar) and node.is_plain and not node.text:
            return self._add_problem(node, f"'{key.name}' has no value", _example_hint(key))
        return self._read_kind(node, key.kind, key)

    def read_table(self, node: Node, table: Table, key: Key | None = None) -> Any:
        """Return the struct for a mapping, or `BAD` and add problems; ``key`` is the key of the mapping."""
        if not isinstance(node, Mapping):
            return self._add_wrong_type(
                node, "a mapping of keys to values", key, self._command_hint(node, table, key)
            )
        problem_count = len(self._problems)
        keys = {table_key.name: table_key for table_key in table.keys}
        values: dict[str, Any] = {}
        nodes: dict[str, Node] = {}
        for name, child in node.items:
            table_key = keys.get(name.text)
            if table_key is None:
                self._add_unknown(name, table)
                continue
            field = table_key.field or table_key.name
            nodes[field] = child
            if isinstance(table_key.kind, TextOrTable) and isinstance(child, Mapping):
                values[field] = table_key.kind.placeholder
                field = table_key.kind.table_field
            values[field] = self.read_value(child, table_key)
        self._add_missing(node, table, nodes)
        if len(self._problems) == problem_count and table.check is not None:
            for error in table.check(values):
                child = nodes.get(error.key, node)
                self._add_invalid(child, error, error.key, error.hint if self._is_quotable(child) else None)
        if len(self._problems) > problem_count or not self._is_complete(table, values):
            return BAD
        return self._make_struct(table, values, node)

    def _make_struct(self, table: Table, values: dict[str, Any], node: Mapping) -> Any:
        values.pop("-", None)
        fields = table.struct.__struct_fields__
        if "where" in fields:
            values["where"] = format_location(node)
        if "base_dir" in fields:
            values["base_dir"] = self._folders.get(node.file, "")
        return table.struct(**values)

    def _is_complete(self, table: Table, values: dict[str, Any]) -> bool:
        return all((key.field or key.name) in values for key in table.keys if key.required)

    def _add_missing(self, node: Mapping, table: Table, present: Map[str, Node]) -> None:
        # These are replaced as a whole; everything else may be completed by an extending recipe.
        if not self._complete and table.struct.__name__ not in (
            "FileRule",
            "PackageVersion",
            "PermissionRule",
        ):
            return
        for key in table.keys:
            if key.required and (key.field or key.name) not in present:
                self._add_problem(node, f"'{key.name}' is missing", _example_hint(key))

    def _add_unknown(self, name: Scalar, table: Table) -> None:
        for reserved, message, hint in table.reserved:
            if name.text == reserved:
                self._add_problem(name, message, hint)
                return
        # Suggestions take time, and are not read if there are thousands of problems.
        suggestion = hints.suggest_key(name.text, table) if len(self._problems) < _MAX_HINTS else None
        self._add_problem(
            name, f"unknown key {_quote(name.text)}" if self._is_quotable(name) else "unknown key", suggestion
        )

    def _is_quotable(self, node: Node) -> bool:
        return node.file == self._main

    def _add_invalid(self, node: Node, error: InvalidValue, key: str, hint: str | None) -> Any:
        """Add the problem of an invalid value, in general words if its own would quote another recipe."""
        if self._is_quotable(node):
            return self._add_problem(node, error.message, hint)
        message = f"the value of '{key}' is invalid" if key else "the values contradict each other"
        return self._add_problem(node, message, hint)

    def _add_problem(self, node: Node, message: str, hint: str | None) -> Any:
        self._problems.append(Problem(message, where=format_location(node), hint=hint))
        return BAD

    def _command_hint(self, node: Node, table: Table, key: Key | None) -> str:
        """Return the mapping to write in place of a command, empty if nothing suggests one."""
        has_command = any(table_key.name == "command" for table_key in table.keys)
        if key is None or not has_command or not isinstance(node, Scalar) or not self._is_quotable(node):
            return ""
        return f"for example: {key.name}: {{command: {hints.format_command(node.text)}}}" if node.text else ""

    def _add_wrong_type(self, node: Node, expected: str, key: Key | None, hint: str = "") -> Any:
        actual = {Scalar: "a string", Sequence: "a list", Mapping: "a mapping"}[type(node)]
        if key is None:
            hint = "start with 'name: example.com/hello', or run 'pumice init' for a complete recipe"
            return self._add_problem(node, f"a recipe must be {expected}, not {actual}", hint)
        return self._add_problem(
            node, f"'{key.name}' must be {expected}, not {actual}", hint or _example_hint(key)
        )

    def _read_kind(self, node: Node, kind: Kind, key: Key) -> Any:
        if isinstance(kind, TextOrTable):
            kind = kind.table if isinstance(node, Mapping) else kind.text
        if isinstance(kind, Table):
            return self.read_table(node, kind, key)
        if isinstance(kind, ListOf):
            return self._read_list(node, kind, key)
        if isinstance(kind, MapOf):
            return self._read_map(node, kind, key)
        if not isinstance(node, Scalar):
            return self._add_wrong_type(node, _NOUNS[type(kind)], key)
        try:
            value = _PARSERS[type(kind)](node, kind)
        except InvalidValue as refused:
            hint = refused.hint or _example_hint(key)
            if not self._is_quotable(node):  # fixed hints only: others may quote the value
                hint = kind.grammar.hint if isinstance(kind, Text) and kind.grammar else _example_hint(key)
            return self._add_invalid(node, refused, key.name, hint)
        if isinstance(kind, Text) and hasattr(value, "where"):
            return msgspec.structs.replace(value, where=format_location(node))
        return value

    def _read_list(self, node: Node, kind: ListOf, key: Key) -> Any:
        if isinstance(node, Scalar) and kind.single:
            if any(character.isspace() for character in node.text) and key.name == "command":
                example = (
                    hints.format_command(node.text) if self._is_quotable(node) else "[program, argument]"
                )
                hint = f"write a list, because no shell splits the text: {example}"
                return self._add_problem(node, "the command is a string with spaces", hint)
            items: tuple[Node, ...] = (node,)
        elif isinstance(node, Mapping) and kind.single and isinstance(kind.item, Table):
            items = (node,)
        elif isinstance(node, Sequence):
            items = node.items
        else:
            return self._add_wrong_type(node, "a list", key)
        if len(items) < kind.min_length:
            return self._add_problem(node, f"'{key.name}' is empty", _example_hint(key))
        values = [self._read_item(item, kind.item, key) for item in items]
        self._reject_duplicates(items, values, kind, key)
        return BAD if any(value is BAD for value in values) else tuple(values)

    def _read_item(self, node: Node, kind: Kind, key: Key) -> Any:
        if isinstance(node, Scalar) and node.is_plain and not node.text:
            return self._add_problem(node, f"an item of '{key.name}' is empty", _example_hint(key))
        if isinstance(kind, Table) and kind.shorthand and not isinstance(node, Mapping):
            node = expand_shorthand(node, kind)
        if isinstance(kind, Table) and not isinstance(node, Mapping):
            return self._add_problem(
                node, f"an item of '{key.name}' must be a mapping of keys to values", _example_hint(key)
            )
        if isinstance(kind, ListOf):
            if isinstance(node, Sequence):
                return self._read_list(node, kind, key)
            return self._add_problem(node, f"an item of '{key.name}' must be a list", _example_hint(key))
        if not isinstance(kind, Table) and not isinstance(node, Scalar):
            return self._add_problem(
                node, f"an item of '{key.name}' must be {_NOUNS[type(kind)]}", _example_hint(key)
            )
        return self._read_kind(node, kind, key)

    def _reject_duplicates(self, nodes: Iterable[Node], values: list[Any], kind: ListOf, key: Key) -> None:
        node_by_identity: dict[str, Node] = {}
        for node, value in zip(nodes, values, strict=True):
            if value is BAD or not kind.identity:
                continue
            item_identity = value if kind.identity == "value" else identify_item(node, kind)
            if item_identity is None:
                continue
            if item_identity in node_by_identity:
                first_place = format_location(node_by_identity[item_identity])
                label = _quote(item_identity) if self._is_quotable(node) else "this item"
                self._add_problem(
                    node,
                    f"{label} is listed twice in '{key.name}', first at {first_place}",
                    "keep one of them",
                )
            else:
                node_by_identity[item_identity] = node

    def _read_map(self, node: Node, kind: MapOf, key: Key) -> Any:
        if not isinstance(node, Mapping):
            return self._add_wrong_type(node, "a mapping of names to values", key)
        values: dict[str, Any] = {}
        is_valid = True
        for name, child in node.items:
            try:
                map_key = _parse_text(name, kind.key)
            except InvalidValue as refused:
                self._add_invalid(name, refused, key.name, refused.hint)
                is_valid = False
                continue
            label = name.text if self._is_quotable(name) else key.name
            value = self.read_value(child, Key(label, kind.value, "", ""))
            is_valid = is_valid and value is not BAD
            values[map_key] = value
        return values if is_valid else BAD


def expand_shorthand(node: Node, table: Table) -> Mapping:
    """Return the mapping that a list or string stands for."""
    position = (node.file, node.line, node.column)
    return Mapping(((Scalar(table.shorthand, True, *position), node),), *position)


def identify_item(node: Node, kind: ListOf) -> str | None:
    """Return what identifies an item of a list, None if it has no identity."""
    if kind.identity == "name" and isinstance(node, Mapping):
        for name, child in node.items:
            if name.text == "name" and isinstance(child, Scalar):
                return child.text
        return None
    if not isinstance(node, Scalar) or not kind.identity:
        return None
    return grammar.request_name(node.text) if kind.identity == "package" else node.text


def _parse_text(node: Scalar, kind: Kind) -> Any:
    kind = cast("Text", kind)
    text = node.text
    if "\0" in text and not kind.allows_nul:
        raise InvalidValue(
            "the string contains a NUL character", "no program accepts one in a path or an argument"
        )
    if not text and not kind.allows_empty:
        raise InvalidValue("the string is empty")
    text_grammar = kind.grammar
    if text_grammar is not None and (
        len(text) > text_grammar.max_length or not re.fullmatch(text_grammar.pattern, text)
    ):
        raise InvalidValue(f"{_quote(text)} is not {text_grammar.noun}", text_grammar.hint)
    return text if kind.parse is None else kind.parse(text)


def _parse_flag(node: Scalar, _: Kind) -> bool:
    if node.text not in ("true", "false"):
        raise InvalidValue(f"{_quote(node.text)} is neither true nor false", "write true or false")
    return node.text == "true"


def _parse_integer(node: Scalar, kind: Kind) -> int:
    kind = cast("Integer", kind)
    if not re.fullmatch("[0-9]+", node.text):
        raise InvalidValue(f"{_quote(node.text)} is not a whole number", f"from {kind.low} to {kind.high}")
    if len(node.text) > 20 or not kind.low <= int(node.text) <= kind.high:
        raise InvalidValue(
            f"{_quote(node.text).strip(chr(39))} is out of range", f"from {kind.low} to {kind.high}"
        )
    return int(node.text)


def _parse_mode(node: Scalar, _: Kind) -> int:
    if not re.fullmatch("(0o|0)?[0-7]{3,4}", node.text):
        raise InvalidValue(
            f"{_quote(node.text)} is not a mode", "three or four octal digits, such as 0644 or 0755"
        )
    mode = int(node.text.removeprefix("0o"), 8)
    if mode > 0o7777:
        raise InvalidValue(
            f"{node.text} is more than 07777", "three or four octal digits, such as 0644 or 0755"
        )
    return mode


def _parse_duration(node: Scalar, _: Kind) -> int:
    match = re.fullmatch("([0-9]{1,7})(s|m|h)?", node.text)
    seconds = int(match[1]) * _UNITS[match[2] or ""] if match else -1
    if not 0 <= seconds <= _MAX_SECONDS:
        raise InvalidValue(
            f"{_quote(node.text)} is not a duration", "a number followed by s, m or h, such as 30s"
        )
    return seconds


def _parse_choice(node: Scalar, kind: Kind) -> str:
    values = cast("Choice", kind).values
    if node.text not in values:
        raise InvalidValue(
            f"{_quote(node.text)} is not allowed here",
            hints.suggest_word(node.text, values) or _one_of(values),
        )
    return node.text


_PARSERS = {
    Text: _parse_text,
    Flag: _parse_flag,
    Integer: _parse_integer,
    Mode: _parse_mode,
    Duration: _parse_duration,
    Choice: _parse_choice,
}
_NOUNS = {
    Text: "a string",
    Flag: "true or false",
    Integer: "a number",
    Mode: "a mode",
    Duration: "a duration",
    Choice: "a word",
}


def _quote(text: str) -> str:
    text = re.sub("//[^/@]*@", "//...@", text)  # passwords do not belong in messages
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _one_of(values: Iterable[str]) -> str:
    return "one of " + ", ".join(values)


def _example_hint(key: Key) -> str | None:
    return f"for example: {key.name}: {key.example}" if key.example else None
