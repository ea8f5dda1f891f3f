"""YAML documents as trees with line and column of each value (YAML 1.1 as read by libyaml).

Scalars are kept as text, and the schema decides their type, so ``version: 1.10`` and ``user: no`` are not
converted to a number and a boolean. Tags, multiple documents, keys that are not scalars and duplicate
keys are refused, because readers disagree about them. Aliases are expanded within the limits below.
"""

from __future__ import annotations

import re

import msgspec

from pumice.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 100_000
"""Maximum number of nodes in the tree with all aliases expanded."""


class Scalar(msgspec.Struct, frozen=True, gc=False):
    """A scalar; ``is_plain`` if it is written without quotes. Lines and columns start at 1."""

    text: str
    is_plain: bool
    file: str
    line: int
    column: int


class Sequence(msgspec.Struct, frozen=True):
    """A sequence."""

    items: tuple[Node, ...]
    file: str
    line: int
    column: int


class Mapping(msgspec.Struct, frozen=True):
    """A mapping in document order; keys are unique scalars."""

    items: tuple[tuple[Scalar, Node], ...]
    file: str
    line: int
    column: int


Node = Scalar | Sequence | Mapping


class Document(msgspec.Struct, frozen=True):
    """The result of reading: the tree (None if there is none) and all problems."""

    root: Node | None
    problems: tuple[Problem, ...]


def format_location(node: Node) -> str:
    """Return ``file:line:column`` of a node."""
    return f"{node.file}:{node.line}:{node.column}"


def read_document(data: bytes, file: str, *, quote: bool = True) -> Document:
    """Return one YAML document with its problems; ``file`` is the name in locations. Raises nothing.

    ``quote=False`` keeps the content out of messages, for files that were not named on a command line.
    """
    builder = _TreeBuilder(file, quote)
    try:
        for event in _parse_events(_decode(data, file), file, quote):
            builder.take(event)
    except Problem as problem:
        return Document(None, (*builder.problems, problem))
    return Document(builder.root, tuple(builder.problems))


def _decode(data: bytes, file: str) -> str:
    if len(data) > MAX_BYTES:
        raise Problem(f"the file is larger than {MAX_BYTES >> 20} MiB", where=file, hint="is it a YAML file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _location_after(data[: error.start].decode("utf-8-sig", "replace"), file)
        raise Problem("the text is not UTF-8", where=where, hint="save the file as UTF-8") from None
    # libyaml refuses these too, but reports their position in bytes.
    forbidden_character = re.search("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]", text)
    if forbidden_character:
        where = _location_after(text[: forbidden_character.start()], file)
        raise Problem(
            f"the file contains the control character U+{ord(forbidden_character[0]):04X}", where=where
        )
    return text


def _location_after(preceding_text: str, file: str) -> str:
    lines = preceding_text.split("\n")
    return f"{file}:{len(lines)}:{len(lines[-1]) + 1}"


def _parse_events(text: str, file: str, quote: bool) -> Iterator[Any]:
    from yaml import YAMLError
    from yaml._yaml import CParser

    parser = CParser(text)
    try:
        while (event := parser.get_event()) is not None:
            yield event
    except YAMLError as error:
        raise _explain_error(error, text, file, quote) from None
    finally:
        parser.dispose()


class _OpenCollection(msgspec.Struct):
    """A sequence or mapping that is not complete."""

    event: Any
    children: list[Any] = []
    weight: int = 1


class _TreeBuilder:
    """Builds the tree from parser events, with an explicit stack instead of recursion."""

    def __init__(self, file: str, quote: bool) -> None:
        self._quote = quote
        self.problems: list[Problem] = []
        self.root: Node | None = None
        self._file = file
        self._stack: list[_OpenCollection] = []
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._documents = 0

    def take(self, event: Any) -> None:
        """Process the next event; raises Problem if the rest of the document cannot be read."""
        kind = type(event).__name__
        if kind == "ScalarEvent":  # most events: a release of slices has 40,000 of them
            if event.tag:
                self._refuse_tag(event)
            mark = event.start_mark
            scalar = Scalar(event.value, not event.style, self._file, mark.line + 1, mark.column + 1)
            self._add(event, scalar, 1)
        elif kind in ("SequenceStartEvent", "MappingStartEvent"):
            self._refuse_tag(event)
            if len(self._stack) >= MAX_DEPTH:
                raise self._make_problem(event, f"values are nested more than {MAX_DEPTH} deep")
            if event.anchor:
                self._anchors[event.anchor] = None
            self._stack.append(_OpenCollection(event))
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            collection = self._stack.pop()
            self._add(collection.event, self._make_node(collection), collection.weight)
        elif kind == "AliasEvent":
            self._add(None, *self._resolve_alias(event))
        elif kind == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise self._make_problem(
                    event, "a second document starts here", "a recipe is one document; remove '---'"
                )

    def _location(self, event: Any) -> tuple[str, int, int]:
        return self._file, event.start_mark.line + 1, event.start_mark.column + 1

    def _make_problem(self, event: Any, message: str, hint: str | None = None) -> Problem:
        file, line, column = self._location(event)
        return Problem(message, where=f"{file}:{line}:{column}", hint=hint)

    def _refuse_tag(self, event: Any) -> None:
        if event.tag:
            hint = "remove it: the type follows from the key"
            self.problems.append(
                self._make_problem(event, f"the tag{self._quote_text(event.tag)} is not allowed", hint)
            )

    def _add(self, event: Any, node: Node, weight: int) -> None:
        if event is not None and event.anchor:
            self._anchors[event.anchor] = (node, weight)
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        parent.children.append(node)
        parent.weight += weight
        if parent.weight > MAX_NODES:
            raise Problem(f"more than {MAX_NODES} values, aliases expanded", where=format_location(node))

    def _resolve_alias(self, event: Any) -> tuple[Node, int]:
        if event.anchor not in self._anchors:
            raise self._make_problem(event, f"the alias{self._quote_alias(event)} has no anchor before it")
        anchored_node = self._anchors[event.anchor]
        if anchored_node is None:
            raise self._make_problem(
                event, f"the alias{self._quote_alias(event)} refers to a value that contains it"
            )
        return anchored_node

    def _make_node(self, collection: _OpenCollection) -> Node:
        if type(collection.event).__name__ == "SequenceStartEvent":
            return Sequence(tuple(collection.children), *self._location(collection.event))
        keys: dict[str, Scalar] = {}
        items: list[tuple[Scalar, Node]] = []
        for key, value in zip(collection.children[::2], collection.children[1::2], strict=True):
            if not isinstance(key, Scalar):
                message = "a key must be a string, not a list or map"
                self.problems.append(Problem(message, where=format_location(key)))
            elif key.text in keys:
                quoted_key = self._quote_text(key.text)
                message = f"duplicate key{quoted_key}, first used in line {keys[key.text].line}"
                self.problems.append(Problem(message, where=format_location(key), hint="keep one of them"))
            else:
                keys[key.text] = key
                items.append((key, value))
        return Mapping(tuple(items), *self._location(collection.event))

    def _quote_alias(self, event: Any) -> str:
        return f" *{event.anchor}" if self._quote else ""

    def _quote_text(self, text: str) -> str:
        """Return `` 'text'``, or ``""`` if content must not be shown."""
        return f" {text if len(text) <= 60 else text[:57] + '...'!r}" if self._quote else ""


_INDENTATION = "check the indentation of this line and the one before it"

# libyaml's message: (our message, hint, whether the location is the start of the construct).
_EXPLANATIONS = {
    "mapping values are not allowed in this context": (
        "a ':' is not expected here",
        "quote a string that contains ': ', and check the indentation",
        False,
    ),
    "could not find expected ':'": ("a key without ':'", "write 'key: value'; " + _INDENTATION, True),
    "did not find expected key": ("this does not belong to the map around it", _INDENTATION, False),
    "did not find expected '-' indicator": (
        "this does not belong to the list around it",
        _INDENTATION,
        False,
    ),
    "did not find expected ',' or ']'": ("the list that starts here is not closed", "add ',' or ']'", True),
    "did not find expected ',' or '}'": ("the map that starts here is not closed", "add ',' or '}'", True),
    "did not find expected node content": ("a value is missing here", "is a bracket not closed?", False),
    "found unexpected end of stream": ("the quote that starts here is not closed", None, True),
    "found unknown escape character": (
        "unknown escape in a double-quoted string",
        "use single quotes, in which a backslash is literal",
        False,
    ),
    "block sequence entries are not allowed in this context": (
        "a list cannot start here",
        "start it on a new line, or write [a, b]",
        False,
    ),
    "did not find expected <document start>": (
        "unexpected text after the end of the value",
        _INDENTATION,
        False,
    ),
}


def _explain_error(error: Any, text: str, file: str, quote: bool) -> Problem:
    """Return the problem for an error of libyaml."""
    library_message = getattr(error, "problem", None) or "cannot be read"
    mark = getattr(error, "problem_mark", None)
    message: str
    hint: str | None
    if library_message == "found character that cannot start any token":
        message, hint = _explain_character(text, mark, quote)
    elif "tab character" in library_message:
        message, hint = "a tab is used for indentation", "use spaces"
    else:
        message, hint, at_start = _EXPLANATIONS.get(
            library_message, ("invalid YAML: " + library_message, None, False)
        )
        if at_start and getattr(error, "context_mark", None) is not None:
            mark = error.context_mark
    where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark is not None else file
    return Problem(message, where=where, hint=hint)


def _explain_character(text: str, mark: Any, quote: bool) -> tuple[str, str]:
    character = text[mark.index : mark.index + 1]
    if character == "\t":
        return "a tab is used for indentation", "use spaces"
    quoted = repr(character) if quote else "this character"
    return f"a string cannot start with {quoted}", "put it in quotes"
