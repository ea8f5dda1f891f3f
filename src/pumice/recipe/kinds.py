"""The kinds of values in a recipe, as data.

`typed` reads nodes by them, `extend` merges by them, `show` writes by them and `schema` turns them
into JSON Schema, so that the four cannot disagree.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Grammar(msgspec.Struct, frozen=True):
    """A pattern that a whole string must match, and the words for an error.

    ``noun`` completes "'x' is not ..."; ``hint`` describes a valid string.
    """

    noun: str
    pattern: str
    hint: str
    max_length: int = 4096


class Text(msgspec.Struct, frozen=True):
    """A string, quoted or not. ``parse`` converts it; it raises `InvalidValue`.

    ``loose``: numbers and booleans of YAML are likely here and are strings too (``version: 1.10``).
    ``path``: it is a path relative to the file that contains it, always or only if it starts with a
    dot. ``allows_nul``: it is the input or output of a program, not a path or argument.
    """

    grammar: Grammar | None = None
    parse: Callable[[str], Any] | None = None
    loose: bool = False
    path: Literal["", "always", "dotted"] = ""
    allows_empty: bool = False
    allows_nul: bool = False


class Flag(msgspec.Struct, frozen=True):
    """``true`` or ``false``."""


class Integer(msgspec.Struct, frozen=True):
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int


class Mode(msgspec.Struct, frozen=True):
    """Permission bits in octal, with or without a leading 0, quoted or not."""


class Duration(msgspec.Struct, frozen=True):
    """A duration: ``90``, ``90s``, ``5m``, ``1h``; the value is in seconds."""


class Choice(msgspec.Struct, frozen=True):
    """One of several fixed words."""

    values: tuple[str, ...]


class ListOf(msgspec.Struct, frozen=True):
    """A list.

    ``single``: a string or a table is a list of itself. ``merge``: whether the items of an
    extending recipe are appended to those of the extended one or replace them. ``identity``: what two
    items may not have in common.
    """

    item: Kind
    single: bool = False
    merge: Literal["append", "replace"] = "append"
    identity: Literal["", "value", "package", "name"] = ""
    min_length: int = 0


class MapOf(msgspec.Struct, frozen=True):
    """A mapping whose keys the recipe chooses.

    ``optional``: a value may be left out, and is set when the recipe is loaded.
    """

    key: Text
    value: Text
    optional: bool = False


class TextOrTable(msgspec.Struct, frozen=True):
    """A string, or a mapping in its place, which sets the field ``table_field``.

    Then the field of the key is ``placeholder``.
    """

    text: Text
    table: Table
    table_field: str
    placeholder: str


class Key(msgspec.Struct, frozen=True):
    """A key of a table, described in one sentence, with an example of its value in YAML.

    ``field`` is the field of the struct, empty if it has the name of the key.
    """

    name: str
    kind: Kind
    description: str
    example: str
    required: bool = False
    field: str = ""


class Table(msgspec.Struct, frozen=True):
    """A mapping with fixed keys, which becomes a struct.

    ``check`` takes the values by field and returns the contradictions between them. ``reserved``
    keys are (name, why it cannot be used yet, hint), ``hints`` what to write for unknown keys.
    ``shorthand`` is the key whose value may stand for the whole mapping, as an item of a list.
    """

    struct: type[msgspec.Struct]
    keys: tuple[Key, ...]
    check: Callable[[dict[str, Any]], list[InvalidValue]] | None = None
    reserved: tuple[tuple[str, str, str], ...] = ()
    hints: tuple[tuple[str, str], ...] = ()
    shorthand: str = ""


Kind = Text | Flag | Integer | Mode | Duration | Choice | ListOf | MapOf | TextOrTable | Table


class InvalidValue(Exception):  # noqa: N818 - it becomes a Problem, which users do not see as an exception
    """A value that is not valid: a sentence, a hint, and the key of the value if it is known."""

    def __init__(self, message: str, hint: str | None = None, *, key: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.key = key
