"""The words in which the recipe's table is written: what kind of value a key takes.

A kind is data. `typed` reads nodes by it, `extend` merges by it, `show` writes by it and `schema`
turns it into JSON Schema, so the four can never disagree.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Grammar(msgspec.Struct, frozen=True):
    """Which texts are allowed: a pattern for the whole text, and how to say so.

    ``what`` completes "'x' is not ..."; ``hint`` says what a good one looks like.
    """

    noun: str
    pattern: str
    hint: str
    max_length: int = 4096


class Text(msgspec.Struct, frozen=True):
    """A text, quoted or not. ``parse`` turns it into the value; it raises `Refused` for a bad one.

    ``loose`` says that what YAML calls a number or a truth value is to be expected here, and is a
    text as well (``version: 1.10``). ``path`` marks a path relative to the file that says it:
    always, or only if it begins with a dot.
    """

    grammar: Grammar | None = None
    parse: Callable[[str], Any] | None = None
    loose: bool = False
    path: Literal["", "always", "dotted"] = ""
    allows_empty: bool = False


class Flag(msgspec.Struct, frozen=True):
    """``true`` or ``false``."""


class Integer(msgspec.Struct, frozen=True):
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int


class Mode(msgspec.Struct, frozen=True):
    """Permission bits in octal, with or without a leading 0, quoted or not."""


class Duration(msgspec.Struct, frozen=True):
    """A time: ``90``, ``90s``, ``5m``, ``1h``; the value is in seconds."""


class Choice(msgspec.Struct, frozen=True):
    """One of a few words."""

    values: tuple[str, ...]


class ListOf(msgspec.Struct, frozen=True):
    """A list.

    ``single``: one text stands for a list of it, if that text has no space in it. ``merge``: whether
    an extending recipe's items come after the extended one's or replace them. ``identity``: what
    makes two items the same thing, which a list may name only once.
    """

    item: Kind
    single: bool = False
    merge: Literal["append", "replace"] = "append"
    identity: Literal["", "value", "package", "name"] = ""
    min_length: int = 0


class MapOf(msgspec.Struct, frozen=True):
    """A map from names that the recipe chooses."""

    key: Text
    value: Text


class Key(msgspec.Struct, frozen=True):
    """One key of a table: ``about`` it in one sentence, an ``example`` of a value as YAML.

    ``field`` is the struct's name for it where that differs.
    """

    name: str
    kind: Kind
    description: str
    example: str
    required: bool = False
    field: str = ""


class Table(msgspec.Struct, frozen=True):
    """A map with known keys that becomes a struct.

    ``check`` looks at the finished values (by field) and returns what does not fit together.
    ``reserved`` keys are (name, why it cannot be used yet, hint).
    """

    struct: type[msgspec.Struct]
    keys: tuple[Key, ...]
    check: Callable[[dict[str, Any]], list[InvalidValue]] | None = None
    reserved: tuple[tuple[str, str, str], ...] = ()


Kind = Text | Flag | Integer | Mode | Duration | Choice | ListOf | MapOf | Table


class InvalidValue(Exception):  # noqa: N818 - a finding on its way to becoming a Problem
    """A value that is no good: one sentence, a hint, and the key it stands at if that is known."""

    def __init__(self, message: str, hint: str | None = None, *, key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.key = key
