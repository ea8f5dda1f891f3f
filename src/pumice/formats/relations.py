"""Relationship fields of packages: ``Depends``, ``Conflicts``, ``Provides`` and others.

deb-control(5) and Debian Policy 7.1: ``a (>= 1) | b:any [amd64], c``. Parsed fields are cached, because
many packages have the same ones.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, cast

import msgspec

from pumice.errors import FormatError

Operator = Literal["", "<<", "<=", "=", ">=", ">>"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*", re.ASCII)
_TERM = re.compile(  # applied to collapsed white space, so that matching takes linear time
    r"([A-Za-z0-9][A-Za-z0-9+.-]*)(?::([a-z0-9-]+))?"
    r" ?(?:\( ?(<<|<=|<|=|>=|>>|>) ?([^ ()<>=|,]+) ?\))?"
    r" ?(?:\[([^\[\]]*)\])?"
    r"(?: ?<[^<>]*>)*",
    re.ASCII,
)
_OBSOLETE = {"<": "<=", ">": ">="}
_MAX_FIELD = 1 << 20


class Relation(msgspec.Struct, frozen=True):
    """One alternative: a package name and its restrictions.

    ``operator`` is empty if any version is accepted. ``qualifier`` is ``any``, an architecture or empty.
    ``architectures`` is the architecture restriction list, with ``!``; empty for all architectures.
    """

    name: str
    operator: Operator = ""
    version: str = ""
    qualifier: str = ""
    architectures: tuple[str, ...] = ()

    def __str__(self) -> str:
        name = f"{self.name}:{self.qualifier}" if self.qualifier else self.name
        return f"{name} ({self.operator} {self.version})" if self.operator else name


Group = tuple[Relation, ...]
"""Alternatives, one of which must be satisfied."""


@lru_cache(maxsize=1 << 15)
def parse_relations(field: str) -> tuple[Group, ...]:
    """Return the groups of alternatives in a field; raises FormatError if it is malformed.

    Build profiles (``<!nocheck>``) are ignored, because they do not apply to binary packages.
    """
    if not field:
        return ()
    if len(field) > _MAX_FIELD:
        raise FormatError("a relationship field is larger than 1 MiB")
    groups = [group for group in field.split(",") if group and not group.isspace()]
    return tuple([_parse_group(group) for group in groups])


def parse_flat_relations(field: str) -> tuple[Relation, ...]:
    """Return the relations of a field without alternatives (Conflicts, Breaks, Provides, Replaces)."""
    return tuple([relation for group in parse_relations(field) for relation in group])


def format_group(group: Group) -> str:
    """Return a group as text: ``a (>= 1) | b``."""
    return " | ".join([str(relation) for relation in group])


def is_package_name(name: str) -> bool:
    """Return whether ``name`` is a valid package name (Debian Policy 5.6.7; upper case is tolerated)."""
    return _NAME.fullmatch(name) is not None


def applies_to(relation: Relation, architecture: str) -> bool:
    """Return whether a relation applies to ``architecture`` (Debian Policy 7.1: ``[amd64 linux-any]``)."""
    if not relation.architectures:
        return True
    is_negated = relation.architectures[0].startswith("!")
    is_listed = any(
        _matches(architecture_word.removeprefix("!"), architecture)
        for architecture_word in relation.architectures
    )
    return is_listed != is_negated


def _matches(pattern: str, architecture: str) -> bool:
    return pattern in (architecture, "any", "linux-any", f"any-{architecture}", f"linux-{architecture}")


@lru_cache(maxsize=1 << 15)
def _parse_group(text: str) -> Group:
    if _NAME.fullmatch(name := text.strip()):
        return (Relation(name),)
    return tuple([_parse_relation(term, text) for term in text.split("|")])


def _parse_relation(term: str, group_text: str) -> Relation:
    match = _TERM.fullmatch(" ".join(term.split()))
    if not match:
        raise FormatError(
            f"{group_text.strip()[:100]!r} is not a relationship",
            hint="expected NAME (>= VERSION) | NAME ...",
        )
    name, qualifier, operator, version, architectures = match.groups("")
    operator = _OBSOLETE.get(operator, operator)
    return Relation(name, cast("Operator", operator), version, qualifier, tuple(architectures.split()))
