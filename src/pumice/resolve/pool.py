"""Packages as variables and their relationships as clauses, both created lazily.

A package gets its clauses when the search first selects it. A conflict with a package that has no
variable yet is recorded and added when it gets one, so the many ``Breaks`` on old versions are free.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.distro.preferences import NEVER, dependency_tier
from pumice.errors import FormatError
from pumice.formats import relations
from pumice.formats.aptindex import PackageRecord
from pumice.recipe.model import Request
from pumice.resolve.engine import Clause, Engine
from pumice.resolve.problem import matches_version, satisfies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.distro.universe import Universe
    from pumice.formats.relations import Group, Relation
    from pumice.resolve.problem import Requirements

Kind = Literal["request", "essential", "depends", "recommends", "conflicts", "breaks", "version", "excluded"]

ROOT = 1
"""The variable of the recipe itself, which is always true."""

_DEPENDENCY_FIELDS: tuple[tuple[str, Kind], ...] = (("pre_depends", "depends"), ("depends", "depends"))


class Origin(msgspec.Struct, frozen=True):
    """The meaning of a clause: ``owner`` has the relation ``group``, to ``conflicting`` if it is a conflict.

    ``owner`` and ``conflicting`` are variables; 0 means none.
    """

    kind: Kind
    owner: int
    group: Group = ()
    conflicting: int = 0
    request: Request | None = None


class Dependency(msgspec.Struct, frozen=True):
    """One group of alternatives that a package depends on, as variables in order of preference.

    ``has_alternatives`` means that the candidates have different names. ``waiver`` is the variable that
    is true if a recommendation is not followed, 0 for a dependency that must be satisfied.
    """

    origin: Origin
    candidates: tuple[int, ...]
    has_alternatives: bool
    waiver: int = 0


class Pool:
    """The variables of one resolution, and the packages they represent."""

    def __init__(self, universe: Universe, requirements: Requirements, engine: Engine) -> None:
        self.universe = universe
        self.requirements = requirements
        self.engine = engine
        self.records: dict[int, PackageRecord] = {}
        self._excluded = {request.name: request for request in requirements.requests if request.exclude}
        self._variables_by_name: dict[str, tuple[int, ...]] = {}
        self._providers: dict[str, list[int]] = {}
        self._conflicts_by_name: dict[str, list[tuple[int, Kind, Relation]]] = {}
        self._candidates: dict[Relation, tuple[int, ...]] = {}
        self._dependencies: dict[int, tuple[Dependency, ...]] = {}
        self._tiers: dict[int, int] = {}
        if engine.new_variable() != ROOT:
            raise ValueError("the engine has been used before")
        engine.expand = self._make_clauses

    def set_root(self, dependencies: Iterable[Dependency]) -> None:
        """Set the dependencies of the recipe itself and require them."""
        self._dependencies[ROOT] = tuple(dependencies)
        self.engine.add_clause(Clause([ROOT]))

    def variables(self, name: str) -> tuple[int, ...]:
        """Return the versions of a package in order of preference as a dependency.

        The pinned version comes first, then by the priority of the archive, then the newest.
        """
        cached_variables = self._variables_by_name.get(name)
        if cached_variables is not None:
            return cached_variables
        records = self._sort_by_preference(name, requested=False)
        variables = tuple([self.engine.new_variable() for _ in records])
        self._variables_by_name[name] = variables
        for variable, record in zip(variables, records, strict=True):
            self._register(variable, record)
        return variables

    def requested_variables(self, name: str, version: str = "") -> tuple[int, ...]:
        """Return the versions of a package in order of preference for a request of the recipe.

        With a ``version``, which may contain wildcards, only those that match: the pinned one first,
        then the newest, regardless of the priority of their archives (as apt does).
        """
        records = self._sort_by_preference(name, requested=True)
        if version:
            positions = {id(record): position for position, record in enumerate(self.universe.versions(name))}
            records = [record for record in records if matches_version(record.version, version)]
            records.sort(key=lambda record: (not self.requirements.is_pinned(record), positions[id(record)]))
        variables = {id(self.records[variable]): variable for variable in self.variables(name)}
        return tuple([variables[id(record)] for record in records])

    def is_pinned(self, variable: int) -> bool:
        """Return whether the lock pins exactly this package."""
        return self.requirements.is_pinned(self.records[variable])

    def tier(self, variable: int) -> int:
        """Return how suitable a package is as a dependency: 0 ordinary, 2 only as a last resort."""
        cached_tier = self._tiers.get(variable)
        if cached_tier is None:
            priority = self.universe.priority(self.records[variable], requested=False)
            cached_tier = self._tiers[variable] = dependency_tier(priority)
        return cached_tier

    def preferred_version(self, name: str, *, requested: bool) -> PackageRecord | None:
        """Return the version that would be chosen without a lock and without other packages."""
        return next(iter(self._sort_by_preference(name, requested=requested, pinned=False)), None)

    def _sort_by_preference(self, name: str, *, requested: bool, pinned: bool = True) -> list[PackageRecord]:
        ranked_records = []
        for record in self.universe.versions(name):
            priority = self.universe.priority(record, requested=requested)
            is_pin = pinned and self.requirements.is_pinned(record)
            if priority > NEVER or is_pin:
                ranked_records.append((not is_pin, -priority, record))
        ranked_records.sort(key=lambda entry: entry[:2])
        return [record for _, _, record in ranked_records]

    def candidates(self, relation: Relation) -> tuple[int, ...]:
        """Return the candidates for one relation: versions of the named package, then its providers."""
        cached_candidates = self._candidates.get(relation)
        if cached_candidates is not None:
            return cached_candidates
        architecture = self.universe.architecture
        names = [relation.name]
        names += [record.name for record in self.universe.providers(relation.name)]
        candidates: dict[int, None] = {}
        for name in dict.fromkeys(names):
            for variable in self.variables(name):
                if satisfies(self.records[variable], relation, architecture):
                    candidates[variable] = None
        self._candidates[relation] = cached_candidates = tuple(candidates)
        return cached_candidates

    def dependencies(self, variable: int) -> tuple[Dependency, ...]:
        """Return the dependencies of a package."""
        cached_dependencies = self._dependencies.get(variable)
        if cached_dependencies is not None:
            return cached_dependencies
        record = self.records.get(variable)
        dependencies: list[Dependency] = []
        if record is not None:
            for field, kind in _DEPENDENCY_FIELDS:
                dependencies += self._read_dependencies(variable, kind, getattr(record, field))
            if self.requirements.recommends:
                dependencies += self._read_dependencies(variable, "recommends", record.recommends)
        self._dependencies[variable] = cached_dependencies = tuple(dependencies)
        return cached_dependencies

    def _read_dependencies(self, variable: int, kind: Kind, field: str) -> Iterable[Dependency]:
        architecture = self.universe.architecture
        for group in _parse_field(field, self.records[variable], kind):
            terms = group
            if any(term.architectures for term in group):
                terms = tuple([term for term in group if relations.applies_to(term, architecture)])
                if not terms:
                    continue
            dependency = self.make_dependency(Origin(kind, variable, terms))
            if variable in dependency.candidates or (kind == "recommends" and not dependency.candidates):
                continue
            yield dependency

    def make_dependency(self, origin: Origin) -> Dependency:
        """Return the dependency for a group of alternatives, its candidates in order of preference."""
        if len(origin.group) == 1:
            candidates = self.candidates(origin.group[0])
        else:
            candidates = tuple(
                dict.fromkeys([variable for term in origin.group for variable in self.candidates(term)])
            )
        has_alternatives = len({self.records[variable].name for variable in candidates}) > 1
        waiver = self.engine.new_variable() if origin.kind == "recommends" else 0
        return Dependency(origin, candidates, has_alternatives, waiver)

    def _register(self, variable: int, record: PackageRecord) -> None:
        """Register the package of a variable and add the conflicts recorded against its names."""
        self.records[variable] = record
        names = [record.name]
        if record.provides:
            names += [provided.name for (provided, *_) in _parse_field(record.provides, record, "provides")]
        for name in dict.fromkeys(names):
            self._providers.setdefault(name, []).append(variable)
            for owner, kind, relation in self._conflicts_by_name.get(name, ()):
                self._add_conflict(owner, kind, relation, variable)
        if record.name in self._excluded:
            origin = Origin("excluded", variable, request=self._excluded[record.name])
            self.engine.add_clause(Clause([-variable], origin))

    def _add_conflict(self, owner: int, kind: Kind, relation: Relation, conflicting: int) -> None:
        owner_record, conflicting_record = self.records[owner], self.records[conflicting]
        if owner_record.name != conflicting_record.name and satisfies(
            conflicting_record, relation, self.universe.architecture
        ):
            self.engine.add_clause(
                Clause([-owner, -conflicting], Origin(kind, owner, (relation,), conflicting))
            )

    def _make_clauses(self, variable: int) -> Iterable[Clause]:
        for dependency in self.dependencies(variable):
            waiver = (dependency.waiver,) if dependency.waiver else ()
            yield Clause([-variable, *dependency.candidates, *waiver], dependency.origin)
        record = self.records.get(variable)
        if record is None:
            return
        for other_variable in self._variables_by_name[record.name]:
            if other_variable != variable:
                yield Clause(
                    [-variable, -other_variable], Origin("version", variable, conflicting=other_variable)
                )
        fields: tuple[tuple[Kind, str], ...] = (("conflicts", record.conflicts), ("breaks", record.breaks))
        for kind, field in fields:
            for relation, *_ in _parse_field(field, record, kind):
                if not relations.applies_to(relation, self.universe.architecture):
                    continue
                for other_variable in self._providers.get(relation.name, ()):
                    self._add_conflict(variable, kind, relation, other_variable)
                self._conflicts_by_name.setdefault(relation.name, []).append((variable, kind, relation))


def _parse_field(field: str, record: PackageRecord, kind: str) -> tuple[Group, ...]:
    try:
        return relations.parse_relations(field)
    except FormatError as error:
        field_name = f"{kind.capitalize()} of {record.name} {record.version}"
        raise FormatError(error.message, where=f"{record.suite}: {field_name}", hint=error.hint) from None
