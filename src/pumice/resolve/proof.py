"""Proofs: readable sentences for a set of clauses that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.preferences import NEVER
from pumice.errors import ResolveError
from pumice.formats import relations
from pumice.resolve import missing_packages
from pumice.resolve.engine import is_satisfiable
from pumice.resolve.pool import ROOT
from pumice.resolve.problem import satisfies

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.formats.aptindex import PackageRecord
    from pumice.formats.relations import Relation
    from pumice.recipe.model import Request
    from pumice.resolve.engine import Clause
    from pumice.resolve.pool import Origin, Pool

_LINES = 14
_CHAIN = 4
_VERBS = {"depends": "needs", "recommends": "recommends", "conflicts": "conflicts with", "breaks": "breaks"}


def explain_conflict(pool: Pool, core: Sequence[Clause]) -> ResolveError:
    """Return the error for the unsatisfiable clauses ``core``."""
    return _Proof(pool, minimize_core(core)).error()


def minimize_core(core: Sequence[Clause]) -> list[Clause]:
    """Return a minimal unsatisfiable subset of ``core``: without any one clause it is satisfiable."""
    numbers: dict[int, int] = {}
    for clause in core:
        for literal in clause.literals:
            numbers.setdefault(abs(literal), len(numbers) + 1)

    def is_contradiction(clauses: Iterable[Clause]) -> bool:
        renumbered_clauses = [
            [numbers[abs(literal)] * (1 if literal > 0 else -1) for literal in clause.literals]
            for clause in clauses
        ]
        return not is_satisfiable(renumbered_clauses, len(numbers))

    minimal_core = list(core)
    width = max(1, len(minimal_core) // 2)
    while True:
        position = 0
        while position < len(minimal_core):
            remaining = minimal_core[:position] + minimal_core[position + width :]
            if is_contradiction(remaining):
                minimal_core = remaining
            else:
                position += width
        if width == 1:
            return minimal_core
        width //= 2


class _Proof:
    """A minimal unsatisfiable core, stated from the recipe downwards."""

    def __init__(self, pool: Pool, core: Sequence[Clause]) -> None:
        self._pool = pool
        self._requirements: dict[int, list[tuple[Origin, list[int]]]] = {}
        self._excluded: dict[str, Request] = {}
        self._single_version_names: set[str] = set()
        for clause in core:
            origin: Origin | None = clause.origin
            if origin is None:
                continue
            if origin.kind == "excluded" and origin.request:
                self._excluded[pool.records[origin.owner].name] = origin.request
            elif origin.kind == "version":
                self._single_version_names.add(pool.records[origin.owner].name)
            else:
                candidates = sorted(literal for literal in clause.literals if literal > 0)
                self._requirements.setdefault(origin.owner, []).append((origin, candidates))
        self._roots = sorted(self._requirements.get(ROOT, []), key=self._rank)
        self._labels = self._make_labels()

    def error(self) -> ResolveError:
        request_locations = [origin.request.where for origin, _ in self._roots if origin.request]
        where = next((where for where in request_locations if where), None)
        statements = self._list_statements()
        sentence = self._join_into_sentence(statements)
        if sentence:
            return ResolveError(sentence, where=where, hint=self._make_hint())
        subjects = [str(origin.group[0]) for origin, _ in self._roots]
        if len(subjects) > 1:
            heading = f"{', '.join(subjects[:-1])} and {subjects[-1]} cannot be installed together"
        else:
            heading = f"{''.join(subjects) or 'the recipe'} cannot be installed"
        lines = statements[:_LINES] + (
            [f"and {len(statements) - _LINES} more"] if len(statements) > _LINES else []
        )
        return ResolveError("\n  ".join([heading, *lines]), where=where, hint=self._make_hint())

    def _rank(self, requirement: tuple[Origin, list[int]]) -> tuple[str, str]:
        origin = requirement[0]
        return relations.format_group(origin.group), origin.request.where if origin.request else ""

    def _make_labels(self) -> dict[int, str]:
        """Return a label for each package, with the version if two versions have different relations."""
        statements_by_name: dict[str, set[tuple[str, ...]]] = {}
        for owner, requirements in self._requirements.items():
            if owner != ROOT:
                texts = tuple(
                    sorted(
                        f"{requirement[0].kind} {relations.format_group(requirement[0].group)}"
                        for requirement in requirements
                    )
                )
                statements_by_name.setdefault(self._pool.records[owner].name, set()).add(texts)
        labels = {}
        for owner in self._requirements:
            if owner != ROOT:
                record = self._pool.records[owner]
                needs_version = len(statements_by_name[record.name]) > 1
                labels[owner] = f"{record.name} {record.version}" if needs_version else record.name
        return labels

    def _list_statements(self) -> list[str]:
        """Return each statement once, depth first from the recipe."""
        lines: dict[str, None] = {}
        request_places: dict[str, str] = {}
        queue: list[int] = []
        for origin, candidates in self._roots:
            where = origin.request.where if origin.request else ""
            if where and len(self._roots) > 1:
                request_places.setdefault(origin.group[0].name, f" ({where})")
                if self._requirements.keys().isdisjoint(candidates):
                    lines.setdefault(f"{origin.group[0]} is requested at {where}")
            lines.update(dict.fromkeys(self._explain_alternatives(origin, candidates)))
            queue += candidates
        visited: set[int] = set()
        while queue:
            owner = queue.pop(0)
            if owner not in visited:
                visited.add(owner)
                following: list[int] = []
                for origin, candidates in self._requirements.get(owner, ()):
                    request_place = request_places.get(self._pool.records[owner].name, "")
                    lines.setdefault(
                        f"{self._labels[owner]}{request_place} {self._format_statement(origin, candidates)}"
                    )
                    following += candidates
                queue = following + queue
        for name in sorted(self._single_version_names):
            lines.setdefault(f"only one version of {name} can be installed")
        return list(lines)

    def _format_statement(self, origin: Origin, candidates: Sequence[int]) -> str:
        statement = (
            f"{_VERBS[origin.kind]} {relations.format_group(origin.group)}{self._describe_provider(origin)}"
        )
        return ", ".join([statement, *self._explain_alternatives(origin, candidates)])

    def _describe_provider(self, origin: Origin) -> str:
        """Return a clause that names the package when the conflict is with a name it provides."""
        if origin.conflicting:
            name = self._pool.records[origin.conflicting].name
            if name != origin.group[0].name:
                return f", which {name} provides"
        return ""

    def _explain_alternatives(self, origin: Origin, candidates: Sequence[int]) -> list[str]:
        """Return sentences that say why no alternative can be chosen."""
        if origin.conflicting:
            return []
        remarks = [self._explain_absence(term) for term in origin.group if not self._pool.candidates(term)]
        for name in dict.fromkeys(self._pool.records[variable].name for variable in candidates):
            if name in self._excluded:
                location = self._excluded[name].where
                remarks.append(f"{name} is excluded" + (f" at {location}" if location else ""))
        return remarks

    def _explain_absence(self, term: Relation) -> str:
        universe = self._pool.universe
        all_versions = universe.versions(term.name)
        versions = [record for record in all_versions if universe.priority(record, requested=False) > NEVER]
        for record in all_versions:
            if record not in versions and self._satisfies(record, term):
                return missing_packages.describe_unauthorized(record)[0]
        if versions and term.qualifier == "any" and versions[0].multi_arch != "allowed":
            return f"{term.name} is not Multi-Arch: allowed"
        if versions:
            available = missing_packages.format_names([record.version for record in versions])
            return f"the suite has {term.name} {available}"
        providers = [
            f"{record.name} provides {relation}"
            for record in universe.providers(term.name)
            for relation in relations.parse_flat_relations(record.provides)
            if relation.name == term.name
        ]
        return missing_packages.format_names(providers) if providers else f"{term.name} does not exist"

    def _satisfies(self, record: PackageRecord, term: Relation) -> bool:
        return satisfies(record, term, self._pool.universe.architecture)

    def _join_into_sentence(self, statements: Sequence[str]) -> str:
        """Return one sentence if the statements form a simple chain, otherwise ``""``."""
        if len(self._roots) != 1 or self._single_version_names or len(statements) > _CHAIN:
            return ""
        names = [self._pool.records[owner].name for owner in self._requirements if owner != ROOT]
        is_chain = len(set(names)) == len(names) and all(
            len(requirements) == 1
            and not requirements[0][0].conflicting
            and len({self._pool.records[variable].name for variable in requirements[0][1]}) <= 1
            for requirements in self._requirements.values()
        )
        return ", ".join(statements) if is_chain else ""

    def _make_hint(self) -> str:
        if self._excluded:
            names = " and ".join(f"-{name}" for name in sorted(self._excluded))
            return f"remove {names} from the recipe, or the package that needs it"
        versioned_requests = [
            origin.request for origin, _ in self._roots if origin.request and origin.request.version
        ]
        if versioned_requests:
            return f"remove the version of {versioned_requests[0].name}"
        if len(self._roots) > 1:
            return "remove one of them"
        return "the archive is inconsistent, or a suite or archive is missing from the recipe"
