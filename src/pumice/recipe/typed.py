"""Nodes into values, by the table of keys: every problem is noted with its place, none stops the walk."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from pumice.errors import Problem
from pumice.formats.yaml import Mapping, Node, Scalar, Sequence, format_location
from pumice.recipe import grammar
from pumice.recipe.kinds import (
    Choice,
    Duration,
    Flag,
    Integer,
    Key,
    Kind,
    ListOf,
    MapOf,
    Mode,
    Refused,
    Table,
    Text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Map

BAD = object()
"""Stands for a value that could not be read; the problem has been noted."""

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_MAX_SECONDS = 86400 * 30
_MAX_HINTS = 100


class Reader:
    """One walk over a tree. ``problems`` grows as it goes.

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

    def read(self, node: Node, key: Key) -> Any:
        """Return the value of ``key``, or `BAD`."""
        if isinstance(node, Scalar) and node.is_plain and not node.text:
            return self._bad(node, f"'{key.name}' has no value", _example(key))
        return self._read(node, key.kind, key)

    def table(self, node: Node, table: Table, key: Key | None = None) -> Any:
        """Return the struct that a map stands for, or `BAD`; ``key`` is where it stands."""
        if not isinstance(node, Mapping):
            return self._wrong_type(node, "a map of keys to values", key)
        before = len(self._problems)
        known = {item.name: item for item in table.keys}
        values: dict[str, Any] = {}
        nodes: dict[str, Node] = {}
        for name, child in node.items:
            item = known.get(name.text)
            if item is None:
                self._unknown(name, table)
                continue
            field = item.field or item.name
            nodes[field] = child
            values[field] = self.read(child, item)
        self._missing(node, table, nodes)
        if len(self._problems) == before and table.check is not None:
            for refused in table.check(values):
                at = nodes.get(refused.key, node)
                self._refuse(at, refused, refused.key, refused.hint if self._is_quotable(at) else None)
        if len(self._problems) > before or not self._is_whole(table, values):
            return BAD
        return self._struct(table, values, node)

    def _struct(self, table: Table, values: dict[str, Any], node: Mapping) -> Any:
        values.pop("-", None)
        fields = table.of.__struct_fields__
        if "where" in fields:
            values["where"] = format_location(node)
        if "base_dir" in fields:
            values["base_dir"] = self._folders.get(node.file, "")
        return table.of(**values)

    def _is_whole(self, table: Table, values: dict[str, Any]) -> bool:
        return all((key.field or key.name) in values for key in table.keys if key.required)

    def _missing(self, node: Mapping, table: Table, given: Map[str, Node]) -> None:
        # A folder's rule stands alone; all else may be completed by the recipe that extends this one.
        if not self._complete and table.of.__name__ != "FileRule":
            return
        for key in table.keys:
            if key.required and (key.field or key.name) not in given:
                self._bad(node, f"'{key.name}' is missing", _example(key))

    def _unknown(self, name: Scalar, table: Table) -> None:
        for reserved, message, hint in table.reserved:
            if name.text == reserved:
                self._bad(name, message, hint)
                return
        # Looking for what is near takes a while, and nobody reads the thousandth hint.
        near = _nearest_key(name.text, table) if len(self._problems) < _MAX_HINTS else None
        self._bad(
            name, f"unknown key {_shown(name.text)}" if self._is_quotable(name) else "unknown key", near
        )

    def _is_quotable(self, node: Node) -> bool:
        return node.file == self._main

    def _refuse(self, node: Node, refused: Refused, key: str, hint: str | None) -> Any:
        """Note what a check says about a value; without its words where they would quote the value."""
        if self._is_quotable(node):
            return self._bad(node, refused.message, hint)
        message = f"the value of '{key}' is not valid" if key else "the values do not fit together"
        return self._bad(node, message, hint)

    def _bad(self, node: Node, message: str, hint: str | None) -> Any:
        self._problems.append(Problem(message, where=format_location(node), hint=hint))
        return BAD

    def _wrong_type(self, node: Node, wanted: str, key: Key | None) -> Any:
        found = {Scalar: "a text", Sequence: "a list", Mapping: "a map"}[type(node)]
        if key is None:
            hint = "begin with 'name: example.com/hello'; 'pumice init' writes a whole one"
            return self._bad(node, f"a recipe is {wanted}, not {found}", hint)
        return self._bad(node, f"'{key.name}' takes {wanted}, not {found}", _example(key))

    def _read(self, node: Node, kind: Kind, key: Key) -> Any:
        if isinstance(kind, Table):
            return self.table(node, kind, key)
        if isinstance(kind, ListOf):
            return self._list(node, kind, key)
        if isinstance(kind, MapOf):
            return self._map(node, kind, key)
        if not isinstance(node, Scalar):
            return self._wrong_type(node, _NOUNS[type(kind)], key)
        try:
            value = _SCALARS[type(kind)](node, kind)
        except Refused as refused:
            hint = refused.hint or _example(key)
            if not self._is_quotable(node):  # hints that are written down, not made from the value
                hint = kind.grammar.hint if isinstance(kind, Text) and kind.grammar else _example(key)
            return self._refuse(node, refused, key.name, hint)
        if isinstance(kind, Text) and hasattr(value, "where"):
            return msgspec.structs.replace(value, where=format_location(node))
        return value

    def _list(self, node: Node, kind: ListOf, key: Key) -> Any:
        if isinstance(node, Scalar) and kind.single:
            if any(character.isspace() for character in node.text) and key.name == "command":
                words = ", ".join(node.text.split())
                shown = words if self._is_quotable(node) else "program, argument"
                hint = f"there is no shell that would split it; write a list: [{shown}]"
                return self._bad(node, "the command is a text with spaces in it", hint)
            items: tuple[Node, ...] = (node,)
        elif isinstance(node, Sequence):
            items = node.items
        else:
            return self._wrong_type(node, "a list", key)
        if len(items) < kind.least:
            return self._bad(node, f"'{key.name}' is empty", _example(key))
        values = [self._item(item, kind.item, key) for item in items]
        self._refuse_twice(items, values, kind, key)
        return BAD if any(value is BAD for value in values) else tuple(values)

    def _item(self, node: Node, kind: Kind, key: Key) -> Any:
        if isinstance(node, Scalar) and node.is_plain and not node.text:
            return self._bad(node, f"an item of '{key.name}' is empty", _example(key))
        if isinstance(kind, Table) and not isinstance(node, Mapping):
            return self._bad(node, f"an item of '{key.name}' is a map of keys to values", _example(key))
        if not isinstance(kind, Table) and not isinstance(node, Scalar):
            return self._bad(node, f"an item of '{key.name}' is {_NOUNS[type(kind)]}", _example(key))
        return self._read(node, kind, key)

    def _refuse_twice(self, nodes: Iterable[Node], values: list[Any], kind: ListOf, key: Key) -> None:
        first: dict[str, Node] = {}
        for node, value in zip(nodes, values, strict=True):
            if value is BAD or not kind.identity:
                continue
            same = value if kind.identity == "value" else identity(node, kind)
            if same is None:
                continue
            if same in first:
                where = format_location(first[same])
                shown = _shown(same) if self._is_quotable(node) else "this item"
                self._bad(node, f"{shown} is in '{key.name}' twice, first at {where}", "keep one of them")
            else:
                first[same] = node

    def _map(self, node: Node, kind: MapOf, key: Key) -> Any:
        if not isinstance(node, Mapping):
            return self._wrong_type(node, "a map of names to values", key)
        values: dict[str, Any] = {}
        ok = True
        for name, child in node.items:
            try:
                found = _text(name, kind.key)
            except Refused as refused:
                self._refuse(name, refused, key.name, refused.hint)
                ok = False
                continue
            label = name.text if self._is_quotable(name) else key.name
            value = self.read(child, Key(label, kind.value, "", ""))
            ok = ok and value is not BAD
            values[found] = value
        return values if ok else BAD


def identity(node: Node, kind: ListOf) -> str | None:
    """Return what makes a list's item the same as another; None if nothing does."""
    if kind.identity == "name" and isinstance(node, Mapping):
        for name, child in node.items:
            if name.text == "name" and isinstance(child, Scalar):
                return child.text
        return None
    if not isinstance(node, Scalar) or not kind.identity:
        return None
    return grammar.request_name(node.text) if kind.identity == "package" else node.text


def _text(node: Scalar, kind: Kind) -> Any:
    kind = cast("Text", kind)
    text = node.text
    if "\0" in text:
        raise Refused("the text has a NUL character in it", "nothing that runs could be given it")
    if not text and not kind.empty:
        raise Refused("the text is empty")
    rule = kind.grammar
    if rule is not None and (len(text) > rule.longest or not re.fullmatch(rule.pattern, text)):
        raise Refused(f"{_shown(text)} is not {rule.what}", rule.hint)
    return text if kind.parse is None else kind.parse(text)


def _flag(node: Scalar, kind: Kind) -> bool:  # noqa: ARG001 - all readers of scalars are alike
    if node.text not in ("true", "false"):
        raise Refused(f"{_shown(node.text)} is neither true nor false", "write true or false")
    return node.text == "true"


def _integer(node: Scalar, kind: Kind) -> int:
    kind = cast("Integer", kind)
    if not re.fullmatch("[0-9]+", node.text):
        raise Refused(f"{_shown(node.text)} is not a whole number", f"from {kind.low} to {kind.high}")
    if len(node.text) > 20 or not kind.low <= int(node.text) <= kind.high:
        raise Refused(
            f"{_shown(node.text).strip(chr(39))} is out of range", f"from {kind.low} to {kind.high}"
        )
    return int(node.text)


def _mode(node: Scalar, kind: Kind) -> int:  # noqa: ARG001 - as above
    if not re.fullmatch("(0o|0)?[0-7]{3,4}", node.text):
        raise Refused(
            f"{_shown(node.text)} is not a mode", "three or four octal digits, such as 0644 or 0755"
        )
    mode = int(node.text.removeprefix("0o"), 8)
    if mode > 0o7777:
        raise Refused(f"{node.text} is more than 07777", "three or four octal digits, such as 0644 or 0755")
    return mode


def _duration(node: Scalar, kind: Kind) -> int:  # noqa: ARG001 - as above
    found = re.fullmatch("([0-9]{1,7})(s|m|h)?", node.text)
    seconds = int(found[1]) * _UNITS[found[2] or ""] if found else -1
    if not 0 <= seconds <= _MAX_SECONDS:
        raise Refused(f"{_shown(node.text)} is not a time", "a number with s, m or h behind it, such as 30s")
    return seconds


def _choice(node: Scalar, kind: Kind) -> str:
    words = cast("Choice", kind).words
    if node.text not in words:
        raise Refused(
            f"{_shown(node.text)} is not possible here", nearest(node.text, words) or _one_of(words)
        )
    return node.text


_SCALARS = {Text: _text, Flag: _flag, Integer: _integer, Mode: _mode, Duration: _duration, Choice: _choice}
_NOUNS = {
    Text: "a text",
    Flag: "true or false",
    Integer: "a number",
    Mode: "a mode",
    Duration: "a time",
    Choice: "a word",
}


def _shown(text: str) -> str:
    text = re.sub("//[^/@]*@", "//...@", text)  # a message is no place for a password
    return repr(text if len(text) <= 80 else text[:77] + "...")


def _one_of(words: Iterable[str]) -> str:
    return "one of " + ", ".join(words)


def _example(key: Key) -> str | None:
    return f"for example: {key.name}: {key.example}" if key.example else None


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return a did-you-mean for a word, None if nothing is near."""
    from difflib import get_close_matches

    words = list(words)
    close = get_close_matches(word[:80], words, n=1)
    if not close and len(word) >= 3:
        close = [candidate for candidate in words if candidate.startswith(word)][:1]
    return f"did you mean '{close[0]}'?" if close else None


def _nearest_key(word: str, table: Table) -> str:
    names = [key.name for key in table.keys]
    for key in table.keys:
        if isinstance(key.kind, Table) and word in (inner.name for inner in key.kind.keys):
            return f"'{word}' goes under '{key.name}'"
    return nearest(word, names) or "the keys here are " + ", ".join(names)
