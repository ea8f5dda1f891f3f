"""Typed values of the YAML nodes of a release; collects all problems with their places.

Types are those of Chisel's reader: a text can be any scalar, and an empty value or ``null`` is as good as a
missing key. Unknown keys are ignored, so that a release can have keys for newer versions.
"""

from __future__ import annotations

import re
from contextlib import contextmanager

from pumice.errors import Problem
from pumice.formats import yaml
from pumice.formats.yaml import Mapping, Node, Scalar, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|[0-9]+)")
_MAX_DIGITS = 30


def is_null(node: Node) -> bool:
    """Whether a value is missing or ``null``."""
    return isinstance(node, Scalar) and node.is_plain and node.text in _NULL


class ValueReader:
    """Reads values and collects problems; a value with a problem is read as the default."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def report(self, node: Node, message: str, hint: str | None = None) -> None:
        """Add a problem at the place of ``node``."""
        self.problems.append(Problem(message, where=yaml.format_location(node), hint=hint))

    @contextmanager
    def naming(self, name: str) -> Iterator[None]:
        """Put ``name`` in front of the messages about what is read meanwhile, unless they have it."""
        start = len(self.problems)
        yield
        self.problems[start:] = [
            problem
            if name in problem.message
            else Problem(f"{name}: {problem.message}", where=problem.where, hint=problem.hint)
            for problem in self.problems[start:]
        ]

    def items(self, node: Node, noun: str) -> tuple[tuple[Scalar, Node], ...]:
        """Return the items of a mapping, none for a missing value."""
        if isinstance(node, Mapping):
            return node.items
        if not is_null(node):
            self.report(node, f"{noun} must be a mapping")
        return ()

    def fields(self, node: Node, noun: str) -> dict[str, Node]:
        """Return the values of a mapping that are not missing, by key."""
        return {key.text: value for key, value in self.items(node, noun) if not is_null(value)}

    def text(self, node: Node | None, key: str) -> str:
        """Return a text, empty for a missing value."""
        if node is None or is_null(node):
            return ""
        if isinstance(node, Scalar):
            return node.text
        self.report(node, f"'{key}' must be a string")
        return ""

    def texts(self, node: Node | None, key: str, *, is_single_allowed: bool = False) -> tuple[str, ...]:
        """Return a list of texts, empty for a missing value."""
        if node is None or is_null(node):
            return ()
        if isinstance(node, Scalar) and is_single_allowed:
            return (node.text,)
        if isinstance(node, Sequence) and all(isinstance(item, Scalar) for item in node.items):
            return tuple(self.text(item, key) for item in node.items)
        self.report(node, f"'{key}' must be a list of strings")
        return ()

    def flag(self, node: Node | None, key: str) -> bool:
        """Return a truth value, False for a missing one."""
        if node is None or is_null(node):
            return False
        if isinstance(node, Scalar) and node.is_plain and node.text in _TRUE | _FALSE:
            return node.text in _TRUE
        self.report(node, f"'{key}' must be true or false")
        return False

    def integer(self, node: Node, key: str) -> int | None:
        """Return an integer as YAML writes it (``0755`` and ``0o755`` are octal); None for anything else."""
        text = node.text.replace("_", "") if isinstance(node, Scalar) and node.is_plain else ""
        if len(text) > _MAX_DIGITS or not _INTEGER.fullmatch(text):
            self.report(node, f"'{key}' must be a number")
            return None
        digits = text.lstrip("+-")
        if digits[:1] == "0" and digits[1:].isdigit():
            if not re.fullmatch("[0-7]+", digits):
                self.report(node, f"'{key}' must be an octal number")
                return None
            return int(digits, 8) * (-1 if text.startswith("-") else 1)
        return int(text, 0)
