"""Decode the nodes of a YAML or JSON document into structs, and locate each problem in the file.

A struct has the keys that are used. Others are collected, because a file may come from another tool that
honors them. A field ``where`` gets the location of the struct.
"""

from __future__ import annotations

import re
import types
import typing
from typing import Any, TypeVar

import msgspec

from pumice.errors import Problem
from pumice.formats.yaml import Mapping, Node, Scalar, Sequence, format_location

_Value = TypeVar("_Value")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_NULL = ("", "~", "null", "Null", "NULL")
_NOUNS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_MAX_QUOTE = 60


class UnknownField(msgspec.Struct, frozen=True):
    """A key that is not used: its path in the document, such as ``spec.affinity``, and its location."""

    path: str
    where: str


class NodeDecoder:
    """Decodes nodes, and collects the problems and the unknown fields."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.unknown: list[UnknownField] = []

    def decode(self, node: Node, kind: type[_Value], path: str = "") -> _Value | None:
        """Return the value of a node, None if it is invalid; then a problem was added."""
        count = len(self.problems)
        value = self._decode(node, kind, path)
        return value if len(self.problems) == count else None

    def add_problem(self, where: str, message: str, hint: str | None = None) -> None:
        """Add a problem."""
        self.problems.append(Problem(message, where=where, hint=hint))

    def _decode(self, node: Node, kind: Any, path: str) -> Any:
        origin = typing.get_origin(kind)
        if origin in (typing.Union, types.UnionType):
            return self._decode_union(node, typing.get_args(kind), path)
        if origin is tuple:
            return self._decode_list(node, typing.get_args(kind)[0], path)
        if origin is dict:
            return self._decode_map(node, typing.get_args(kind)[1], path)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self._decode_struct(node, kind, path)
        return self._decode_scalar(node, kind, path)

    def _decode_union(self, node: Node, kinds: tuple[Any, ...], path: str) -> Any:
        if _is_null(node) and types.NoneType in kinds:
            return None
        for kind in kinds:
            if kind is types.NoneType:
                continue
            origin = typing.get_origin(kind)
            is_list, is_map = origin is tuple, origin is dict or _is_struct(kind)
            if (
                isinstance(node, Sequence)
                if is_list
                else isinstance(node, Mapping)
                if is_map
                else (isinstance(node, Scalar))
            ):
                return self._decode(node, kind, path)
        return self._decode(node, next(kind for kind in kinds if kind is not types.NoneType), path)

    def _decode_list(self, node: Node, item: Any, path: str) -> Any:
        if _is_null(node):
            return ()
        if not isinstance(node, Sequence):
            return self._refuse(node, "a list", path)
        return tuple(self._decode(child, item, f"{path}[{index}]") for index, child in enumerate(node.items))

    def _decode_map(self, node: Node, item: Any, path: str) -> Any:
        if _is_null(node):
            return {}
        if not isinstance(node, Mapping):
            return self._refuse(node, "a mapping", path)
        return {key.text: self._decode(child, item, f"{path}.{key.text}") for key, child in node.items}

    def _decode_struct(self, node: Node, kind: type[msgspec.Struct], path: str) -> Any:
        if _is_null(node):
            return self._make(kind, {"where": format_location(node)}, node, path)
        if not isinstance(node, Mapping):
            return self._refuse(node, "a mapping", path)
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        values: dict[str, Any] = {}
        for key, child in node.items:
            field = fields.get(key.text)
            name = f"{path}.{key.text}".lstrip(".")
            if key.text.startswith("x-"):  # extensions of compose files
                continue
            if field is None or field.name == "where":
                self.unknown.append(UnknownField(name, format_location(key)))
            elif not (_is_null(child) and not field.required):
                values[field.name] = self._decode(child, field.type, name)
        return self._make(kind, {**values, "where": format_location(node)}, node, path)

    def _make(self, kind: type[msgspec.Struct], values: dict[str, Any], node: Node, path: str) -> Any:
        fields = msgspec.structs.fields(kind)
        for field in fields:
            if field.required and field.name not in values:
                text = f"{path + ': ' if path else ''}'{field.encode_name}' is missing"
                self.add_problem(format_location(node), text)
                return None
        names = {field.name for field in fields}
        return kind(**{name: value for name, value in values.items() if name in names})

    def _decode_scalar(self, node: Node, kind: Any, path: str) -> Any:
        if not isinstance(node, Scalar):
            return self._refuse(node, _NOUNS[kind], path)
        text = node.text
        if kind is str:
            return text
        if kind is bool and node.is_plain and text in (*_TRUE, *_FALSE):
            return text in _TRUE
        if kind is int and _INTEGER.fullmatch(text):
            return int(text)
        if kind is float and _NUMBER.fullmatch(text):
            return float(text)
        return self._refuse(node, _NOUNS[kind], path)

    def _refuse(self, node: Node, expected: str, path: str) -> None:
        actual = {Sequence: "a list", Mapping: "a mapping"}.get(type(node))
        if actual is None:
            actual = repr(node.text[:_MAX_QUOTE]) if isinstance(node, Scalar) else ""
        name = f"'{path}'" if path else "the document"
        self.add_problem(format_location(node), f"{name} must be {expected}, not {actual}")


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_plain and node.text in _NULL
