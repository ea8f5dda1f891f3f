"""The dependencies among the packages of a lock, from the control fields of the packages themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.formats import relations
from pumice.omission.tables import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_FIELDS = ("Pre-Depends", "Depends")


class Graph(msgspec.Struct, frozen=True):
    """The packages that each package depends on, by name.

    A weak dependency is one that a row of the table of install tools covers.
    """

    strong: dict[str, tuple[str, ...]]
    weak: dict[str, tuple[str, ...]]

    def dependents(self, name: str) -> tuple[str, ...]:
        """Return the packages that depend on ``name``, sorted."""
        return tuple(
            sorted(
                owner
                for owner in self.strong
                if name in self.strong[owner] or name in self.weak.get(owner, ())
            )
        )


def make_graph(
    fields: Mapping[str, Mapping[str, str]], omittable: Collection[str], *, recommends: bool
) -> Graph:
    """Return the dependencies among packages with these control fields; ``omittable`` are rows."""
    providers: dict[str, set[str]] = {name: {name} for name in fields}
    for name, control in fields.items():
        for group in _groups(control.get("Provides", "")):
            for provided in group:
                providers.setdefault(provided, set()).add(name)
    strong: dict[str, tuple[str, ...]] = {}
    weak: dict[str, tuple[str, ...]] = {}
    for name in sorted(fields):
        needed: set[str] = set()
        for field in (*_FIELDS, *(("Recommends",) if recommends else ())):
            for group in _groups(fields[name].get(field, "")):
                needed.update(provider for other in group for provider in providers.get(other, ()))
        needed.discard(name)
        is_weak = {other: other in omittable or f"{name}{SEPARATOR}{other}" in omittable for other in needed}
        strong[name] = tuple(sorted(other for other in needed if not is_weak[other]))
        weak[name] = tuple(sorted(other for other in needed if is_weak[other]))
    return Graph(strong, weak)


def _groups(field: str) -> Iterator[tuple[str, ...]]:
    try:
        for group in relations.parse_relations(field):
            yield tuple(relation.name for relation in group)
    except FormatError:  # dpkg accepts what it does not need to parse
        return
