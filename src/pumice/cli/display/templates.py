r"""Templates of ``--format``: a small subset of Go's text/template, as docker and podman use it.

``{{.Name}}`` is a field, ``{{json .}}`` the whole value as JSON. The functions are json, len, join, index,
lower and upper; ``{{range .Layers}}…{{end}}`` and ``{{if .Created}}…{{else}}…{{end}}`` are the only blocks.
``table`` at the beginning adds headings. A template calls no code and changes nothing. Fields are those of
the JSON output: ``.MediaType`` and ``.media_type`` are the same field.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.cli.display import template_types
from pumice.errors import UsageError
from pumice.terminal import printable_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_DEPTH = 8
_ACTION = re.compile(r"\{\{(?P<source>.*?)\}\}", re.DOTALL)
_WORD = re.compile(r'\s*(?P<word>"(?:[^"\\]|\\.)*"|\||[^\s|"]+)')
_FIELD = re.compile(r"\.(?:[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)?")
_NUMBER = re.compile(r"[0-9]{1,9}")
_ARGUMENT_COUNTS = {"json": 1, "len": 1, "lower": 1, "upper": 1, "join": 2, "index": 2}
_TABLE = "table "


class Field(msgspec.Struct, frozen=True):
    """A field of the current value, through its names; no names mean the value itself."""

    names: tuple[str, ...]


class Call(msgspec.Struct, frozen=True):
    """A function with its arguments: fields, calls and constants."""

    function: str
    arguments: tuple[Any, ...]


class Block(msgspec.Struct, frozen=True):
    """``range`` or ``if`` over an expression, with what follows it up to ``else`` and ``end``."""

    kind: str
    expression: Any
    body: tuple[Any, ...]
    otherwise: tuple[Any, ...]


class Template(msgspec.Struct, frozen=True):
    """A parsed template; its parts are texts, fields, calls and blocks."""

    source: str
    parts: tuple[Any, ...]
    is_table: bool


def parse_template(text: str, result_type: Any) -> Template:
    """Return the template in ``text`` for values of ``result_type``; for a list, those of its items.

    Raises UsageError for a mistake in the template or an unknown field.
    """
    is_table = text.startswith(_TABLE)
    source = text.removeprefix(_TABLE).lstrip(" ") if is_table else text
    tokens = list(_split(source.replace("\\t", "\t").replace("\\n", "\n")))
    parts = _Parser(tokens).parse()
    _check_parts(parts, template_types.item_type(result_type), 0)
    return Template(text, parts, is_table)


def render(template: Template, values: Sequence[Any]) -> str:
    """Return one line for each value, which consists of dictionaries, lists and scalars."""
    lines = ["".join(_render_parts(template.parts, value)) for value in values]
    if not template.is_table:
        return "".join(f"{line}\n" for line in lines)
    from pumice.cli.display.output import format_table

    heads = "".join(_heading(part) for part in template.parts).split("\t")
    rows = [line.split("\t") for line in lines]
    width = max(len(row) for row in [heads, *rows])
    padded = [[*row, *[""] * (width - len(row))] for row in [heads, *rows]]
    return format_table(padded[0], padded[1:])


# Parsing ------------------------------------------------------------------------------------------


def _split(text: str) -> Iterator[str | list[str]]:
    """Yield the texts between actions, and each action as a list of its words."""
    position = 0
    for match in _ACTION.finditer(text):
        if match.start() > position:
            yield text[position : match.start()]
        words = _WORD.findall(match["source"])
        if "".join(words) != "".join(match["source"].split()) and '"' not in match["source"]:
            raise _template_error(f"cannot read {{{{{match['source']}}}}}")
        yield words
        position = match.end()
    rest = text[position:]
    if "{{" in rest:
        raise _template_error("'{{' has no '}}'")
    if rest:
        yield rest


class _Parser:
    """Reads tokens from left to right."""

    def __init__(self, tokens: list[str | list[str]]) -> None:
        self._tokens = tokens
        self._position = 0

    def parse(self) -> tuple[Any, ...]:
        """Return the parts of the whole template."""
        parts, end = self._parse_until(0)
        if end:
            raise _template_error(f"unexpected {{{{{end}}}}}")
        return parts

    def _parse_until(self, depth: int) -> tuple[tuple[Any, ...], str]:
        """Return the parts up to ``else``, ``end`` or the end of the text, and which of them it was."""
        if depth > _MAX_DEPTH:
            raise _template_error("blocks are nested too deep")
        parts: list[Any] = []
        while self._position < len(self._tokens):
            token = self._tokens[self._position]
            self._position += 1
            if isinstance(token, str):
                parts.append(token)
            elif token in (["end"], ["else"]):
                return tuple(parts), token[0]
            elif token[:1] in (["range"], ["if"]):
                parts.append(self._parse_block(token, depth))
            else:
                parts.append(_parse_pipeline(token))
        return tuple(parts), ""

    def _parse_block(self, words: list[str], depth: int) -> Block:
        body, end = self._parse_until(depth + 1)
        otherwise: tuple[Any, ...] = ()
        if end == "else":
            otherwise, end = self._parse_until(depth + 1)
        if end != "end":
            raise _template_error(f"{{{{{words[0]}}}}} has no {{{{end}}}}")
        return Block(words[0], _parse_pipeline(words[1:]), body, otherwise)


def _parse_pipeline(words: list[str]) -> Any:
    """Return the expression ``a | f | g``, in which each value is the last argument of the next call."""
    expression: Any = None
    command: list[str] = []
    for word in [*words, "|"]:
        if word != "|":
            command.append(word)
            continue
        expression = _parse_command(command, () if expression is None else (expression,))
        command = []
    return expression


def _parse_command(words: list[str], piped: tuple[Any, ...]) -> Any:
    if not words:
        raise _template_error("an action is empty")
    function = words[0]
    if function not in _ARGUMENT_COUNTS:
        if piped or len(words) > 1 or not _FIELD.fullmatch(function):
            raise _template_error(f"cannot use {function!r}")
        return _parse_operand(function)
    arguments = (*(_parse_operand(word) for word in words[1:]), *piped)
    if function == "join" and piped:
        arguments = arguments[::-1]
    if len(arguments) != _ARGUMENT_COUNTS[function]:
        raise _template_error(f"{function} needs {_ARGUMENT_COUNTS[function]} arguments")
    return Call(function, arguments)


def _parse_operand(word: str) -> Any:
    if _FIELD.fullmatch(word):
        return Field(tuple(word[1:].split(".")) if word != "." else ())
    if _NUMBER.fullmatch(word):
        return int(word)
    if word.startswith('"'):
        try:
            return json.loads(word)
        except ValueError:
            pass
    raise _template_error(f"cannot use {word!r}")


def _template_error(problem: str) -> UsageError:
    return UsageError(
        f"invalid template in --format: {problem}",
        hint=r"""write fields as '{{.Name}}', several as '{{.Name}}\t{{.Digest}}', and all as '{{json .}}'""",
    )


# Checking -----------------------------------------------------------------------------------------


def _check_parts(parts: Sequence[Any], current: Any, depth: int) -> None:
    for part in parts:
        if isinstance(part, Block):
            inner = _check_expression(part.expression, current)
            body_type = template_types.item_type(inner) if part.kind == "range" else current
            _check_parts(part.body, body_type, depth + 1)
            _check_parts(part.otherwise, current, depth + 1)
        elif not isinstance(part, str):
            _check_expression(part, current)


def _check_expression(expression: Any, current: Any) -> Any:
    """Return the type of an expression; raises UsageError for a field that the current type lacks."""
    if isinstance(expression, Field):
        for name in expression.names:
            current = template_types.field_type(current, name)
        return current
    if isinstance(expression, Call):
        types = [_check_expression(argument, current) for argument in expression.arguments]
        return template_types.item_type(types[0]) if expression.function == "index" else Any
    return Any


# Rendering ----------------------------------------------------------------------------------------


def _render_parts(parts: Sequence[Any], value: Any) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, Block):
            yield from _render_block(part, value)
        elif isinstance(part, Call) and part.function == "json":
            yield _evaluate(part, value)
        else:
            yield printable_line(_format_value(_evaluate(part, value)))


def _render_block(block: Block, value: Any) -> Iterator[str]:
    subject = _evaluate(block.expression, value)
    if not subject:
        yield from _render_parts(block.otherwise, value)
    elif block.kind == "if":
        yield from _render_parts(block.body, value)
    else:
        items = subject.values() if isinstance(subject, dict) else subject
        for item in items if isinstance(subject, dict | list) else [subject]:
            yield from _render_parts(block.body, item)


def _evaluate(expression: Any, value: Any) -> Any:
    if isinstance(expression, Field):
        for name in expression.names:
            value = template_types.get_field(value, name)
        return value
    if not isinstance(expression, Call):
        return expression
    return _call(expression.function, [_evaluate(argument, value) for argument in expression.arguments])


def _call(function: str, arguments: list[Any]) -> Any:
    subject = arguments[0]
    if function == "json":
        return json.dumps(subject)
    if function == "len":
        return len(subject) if isinstance(subject, str | list | dict) else 0
    if function == "join":
        return str(arguments[1]).join(map(_format_value, subject if isinstance(subject, list) else []))
    if function == "index":
        return _index(subject, arguments[1])
    text = _format_value(subject)
    return text.lower() if function == "lower" else text.upper()


def _index(subject: Any, key: Any) -> Any:
    if isinstance(subject, dict):
        return subject.get(str(key))
    if isinstance(subject, list) and isinstance(key, int) and key < len(subject):
        return subject[key]
    return None


def _format_value(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _heading(part: Any) -> str:
    """Return the heading of what ``part`` prints: the name of its field."""
    if isinstance(part, str):
        return part
    if isinstance(part, Call):
        return _heading(part.arguments[0])
    if isinstance(part, Field) and part.names:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", part.names[-1])
        return words.upper()
    return ""
