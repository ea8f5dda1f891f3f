"""Variables in compose files: ``$NAME``, ``${NAME}``, ``${NAME:-default}`` and so on (compose-spec, 12).

They are replaced in values, never in keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import Problem
from pumice.formats.yaml import Node, Scalar, Sequence, format_location

if TYPE_CHECKING:
    from collections.abc import Mapping as Map

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_MAX_DEPTH = 8
_MAX_TEXT = 1 << 20


class Interpolation:
    """Replaces variables by ``values``, and collects problems and the names of variables without a value."""

    def __init__(self, values: Map[str, str]) -> None:
        self._values = values
        self.problems: list[Problem] = []
        self.unset: dict[str, str] = {}
        """Variables without a value or a default, and where they are."""

    def replace(self, node: Node) -> Node:
        """Return a node in whose values all variables are replaced."""
        if isinstance(node, Scalar):
            if "$" not in node.text:
                return node
            text, _ = self._expand(node.text, 0, "", node, 0)
            return msgspec.structs.replace(node, text=text)
        if isinstance(node, Sequence):
            return msgspec.structs.replace(node, items=tuple(map(self.replace, node.items)))
        items = tuple((key, self.replace(value)) for key, value in node.items)
        return msgspec.structs.replace(node, items=items)

    def _expand(self, text: str, start: int, end: str, node: Scalar, depth: int) -> tuple[str, int]:
        """Return the text from ``start`` to ``end`` with its variables replaced, and where it ends."""
        parts: list[str] = []
        position = start
        while position < len(text) and not (end and text.startswith(end, position)):
            if text[position] != "$":
                parts.append(text[position])
                position += 1
            elif text.startswith("$$", position):
                parts.append("$")
                position += 2
            else:
                value, position = self._expand_variable(text, position + 1, node, depth)
                parts.append(value)
        if end and position >= len(text):
            self._add_problem(node, "a variable has no '}' at its end")
        expanded = "".join(parts)
        if len(expanded) > _MAX_TEXT:
            self._add_problem(node, "the values of variables are too long")
            return "", position
        return expanded, position + len(end)

    def _expand_variable(self, text: str, position: int, node: Scalar, depth: int) -> tuple[str, int]:
        has_brace = text.startswith("{", position)
        match = _NAME.match(text, position + has_brace)
        if match is None or depth > _MAX_DEPTH:
            self._add_problem(node, "a '$' is not followed by a variable")
            return "", len(text)
        name, position = match[0], match.end()
        if not has_brace:
            return self._look_up(name, node), position
        if text.startswith("}", position):
            return self._look_up(name, node), position + 1
        operator = next(
            (word for word in (":-", ":?", ":+", "-", "?", "+") if text.startswith(word, position)), ""
        )
        if not operator:
            is_open = position >= len(text)
            text_of_problem = "has no '}' at its end" if is_open else "has an unknown operator"
            self._add_problem(node, f"the variable {name[:60]!r} {text_of_problem}")
            return "", len(text)
        argument, position = self._expand(text, position + len(operator), "}", node, depth + 1)
        value = self._values.get(name)
        is_set = value is not None and (value != "" or not operator.startswith(":"))
        if operator.endswith("+"):
            return argument if is_set else "", position
        if is_set:
            return value or "", position
        if operator.endswith("?"):
            self._add_problem(
                node, f"the variable {name[:60]!r} is not set" + (f": {argument[:200]}" if argument else "")
            )
        return argument, position

    def _look_up(self, name: str, node: Scalar) -> str:
        if name not in self._values:
            self.unset.setdefault(name, format_location(node))
        return self._values.get(name, "")

    def _add_problem(self, node: Scalar, message: str) -> None:
        self.problems.append(Problem(message, where=format_location(node), hint="write $$ for a '$'"))
