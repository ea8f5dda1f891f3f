"""Packages as variables, their relationships as clauses, made when they are first needed.

Nothing is encoded for a package until the search takes it. Conflicts with packages that nobody
has looked at yet wait until somebody does, so the many ``Breaks`` against old versions cost nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.distro.preferences import NEVER, tier
from pumice.errors import FormatError
from pumice.formats import relations
from pumice.formats.aptindex import PackageRecord
from pumice.recipe.model import Request
from pumice.resolve.engine import Clause, Engine
from pumice.resolve.problem import matches, satisfies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.distro.universe import Universe
    from pumice.formats.relations import Group, Relation
    from pumice.resolve.problem import Wants

Kind = Literal["request", "essential", "depends", "recommends", "conflicts", "breaks", "version", "excluded"]

ROOT = 1
"""The variable that stands for the recipe; it always holds."""

_EXPLICIT: tuple[tuple[str, Kind], ...] = (("pre_depends", "depends"), ("depends", "depends"))


class Origin(msgspec.Struct, frozen=True):
    """What a clause means: ``owner`` says ``group`` about ``other`` (variables; 0: nobody)."""

    kind: Kind
    owner: int
    group: Group = ()
    other: int = 0
    request: Request | None = None


class Need(msgspec.Struct, frozen=True):
    """One group of alternatives that ``owner`` needs, as variables by preference.

    ``waiver`` is the variable that holds when a recommendation is not followed (0: no choice).
    """

    origin: Origin
    candidates: tuple[int, ...]
    several: bool
    waiver: int = 0


class Pool:
    """The variables of one resolution and what they stand for."""

    def __init__(self, universe: Universe, wants: Wants, engine: Engine) -> None:
        self.universe = universe
        self.wants = wants
        self.engine = engine
        self.records: dict[int, PackageRecord] = {}
        self._excluded = {request.name: request for request in wants.requests if request.exclude}
        self._by_name: dict[str, tuple[int, ...]] = {}
        self._providing: dict[str, list[int]] = {}
        self._against: dict[str, list[tuple[int, Kind, Relation]]] = {}
        self._candidates: dict[Relation, tuple[int, ...]] = {}
        self._needs: dict[int, tuple[Need, ...]] = {}
        self._tiers: dict[int, int] = {}
        if engine.variable() != ROOT:
            raise ValueError("the engine has been used before")
        engine.expand = self._clauses

    def set_root(self, needs: Iterable[Need]) -> None:
        """Say what the recipe itself needs, and that it is there."""
        self._needs[ROOT] = tuple(needs)
        self.engine.add(Clause([ROOT]))

    def variables(self, name: str) -> tuple[int, ...]:
        """Return the versions of a package by preference as a dependency.

        The pinned one, then by what their archives count for, then the newest first.
        """
        known = self._by_name.get(name)
        if known is not None:
            return known
        records = self._by_preference(name, requested=False)
        made = tuple([self.engine.variable() for _ in records])
        self._by_name[name] = made
        for variable, record in zip(made, records, strict=True):
            self._introduce(variable, record)
        return made

    def requested(self, name: str, version: str = "") -> tuple[int, ...]:
        """Return the versions of a package by preference where the recipe names it.

        With a ``version``, which may have wildcards, those that match: as with apt the pinned one and
        then the newest first, whatever their archives count for.
        """
        ordered = self._by_preference(name, requested=True)
        if version:
            places = {id(record): place for place, record in enumerate(self.universe.versions(name))}
            ordered = [record for record in ordered if matches(record.version, version)]
            ordered.sort(key=lambda record: (not self.wants.is_pin(record), places[id(record)]))
        found = {id(self.records[variable]): variable for variable in self.variables(name)}
        return tuple([found[id(record)] for record in ordered])

    def is_pinned(self, variable: int) -> bool:
        """Return whether the lock has this very package."""
        return self.wants.is_pin(self.records[variable])

    def tier(self, variable: int) -> int:
        """Return 0 for a package that may be taken as a dependency, more where only if need be."""
        found = self._tiers.get(variable)
        if found is None:
            priority = self.universe.priority(self.records[variable], requested=False)
            found = self._tiers[variable] = tier(priority)
        return found

    def candidate(self, name: str, *, requested: bool) -> PackageRecord | None:
        """Return the version that would be taken if there were no lock and no other package."""
        return next(iter(self._by_preference(name, requested=requested, pinned=False)), None)

    def _by_preference(self, name: str, *, requested: bool, pinned: bool = True) -> list[PackageRecord]:
        ranked = []
        for record in self.universe.versions(name):
            priority = self.universe.priority(record, requested=requested)
            is_pin = pinned and self.wants.is_pin(record)
            if priority > NEVER or is_pin:
                ranked.append((not is_pin, -priority, record))
        ranked.sort(key=lambda item: item[:2])
        return [record for _, _, record in ranked]

    def candidates(self, relation: Relation) -> tuple[int, ...]:
        """Return what satisfies one relation: the package of that name first, then its providers."""
        known = self._candidates.get(relation)
        if known is not None:
            return known
        architecture = self.universe.architecture
        names = [relation.name]
        names += [record.name for record in self.universe.providers(relation.name)]
        found: dict[int, None] = {}
        for name in dict.fromkeys(names):
            for variable in self.variables(name):
                if satisfies(self.records[variable], relation, architecture):
                    found[variable] = None
        self._candidates[relation] = made = tuple(found)
        return made

    def needs(self, variable: int) -> tuple[Need, ...]:
        """Return the groups of alternatives that a package asks for."""
        known = self._needs.get(variable)
        if known is not None:
            return known
        record = self.records.get(variable)
        found: list[Need] = []
        if record is not None:
            for field, kind in _EXPLICIT:
                found += self._needs_of(variable, kind, getattr(record, field))
            if self.wants.recommends:
                found += self._needs_of(variable, "recommends", record.recommends)
        self._needs[variable] = made = tuple(found)
        return made

    def _needs_of(self, variable: int, kind: Kind, field: str) -> Iterable[Need]:
        architecture = self.universe.architecture
        for group in _read(field, self.records[variable], kind):
            terms = group
            if any(term.architectures for term in group):
                terms = tuple([term for term in group if relations.applies_to(term, architecture)])
                if not terms:
                    continue
            need = self.need(Origin(kind, variable, terms))
            if variable in need.candidates or (kind == "recommends" and not need.candidates):
                continue
            yield need

    def need(self, origin: Origin) -> Need:
        """Return a group as a need, with its candidates by preference."""
        if len(origin.group) == 1:
            found = self.candidates(origin.group[0])
        else:
            found = tuple(dict.fromkeys([one for term in origin.group for one in self.candidates(term)]))
        several = len({self.records[variable].name for variable in found}) > 1
        waiver = self.engine.variable() if origin.kind == "recommends" else 0
        return Need(origin, found, several, waiver)

    def _introduce(self, variable: int, record: PackageRecord) -> None:
        """Make a variable known, and with it the conflicts that waited for it."""
        self.records[variable] = record
        names = [record.name]
        if record.provides:
            names += [provided.name for (provided, *_) in _read(record.provides, record, "provides")]
        for name in dict.fromkeys(names):
            self._providing.setdefault(name, []).append(variable)
            for owner, kind, relation in self._against.get(name, ()):
                self._oppose(owner, kind, relation, variable)
        if record.name in self._excluded:
            origin = Origin("excluded", variable, request=self._excluded[record.name])
            self.engine.add(Clause([-variable], origin))

    def _oppose(self, owner: int, kind: Kind, relation: Relation, other: int) -> None:
        mine, theirs = self.records[owner], self.records[other]
        if mine.name != theirs.name and satisfies(theirs, relation, self.universe.architecture):
            self.engine.add(Clause([-owner, -other], Origin(kind, owner, (relation,), other)))

    def _clauses(self, variable: int) -> Iterable[Clause]:
        for need in self.needs(variable):
            waiver = (need.waiver,) if need.waiver else ()
            yield Clause([-variable, *need.candidates, *waiver], need.origin)
        record = self.records.get(variable)
        if record is None:
            return
        for other in self._by_name[record.name]:
            if other != variable:
                yield Clause([-variable, -other], Origin("version", variable, other=other))
        fields: tuple[tuple[Kind, str], ...] = (("conflicts", record.conflicts), ("breaks", record.breaks))
        for kind, field in fields:
            for relation, *_ in _read(field, record, kind):
                if not relations.applies_to(relation, self.universe.architecture):
                    continue
                for other in self._providing.get(relation.name, ()):
                    self._oppose(variable, kind, relation, other)
                self._against.setdefault(relation.name, []).append((variable, kind, relation))


def _read(field: str, record: PackageRecord, kind: str) -> tuple[Group, ...]:
    try:
        return relations.parse_relations(field)
    except FormatError as error:
        whose = f"{kind.capitalize()} of {record.name} {record.version}"
        raise FormatError(error.message, where=f"{record.suite}: {whose}", hint=error.hint) from None
