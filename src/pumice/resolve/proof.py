"""From clauses that contradict each other to sentences that a person can check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.preferences import NEVER
from pumice.errors import ResolveError
from pumice.formats import relations
from pumice.resolve import missing
from pumice.resolve.engine import satisfiable
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


def explain(pool: Pool, core: Sequence[Clause]) -> ResolveError:
    """Return the error for a contradiction among the given clauses ``core``."""
    return _Proof(pool, minimise(core)).error()


def minimise(core: Sequence[Clause]) -> list[Clause]:
    """Return clauses that still contradict each other, of which none can be left out."""
    numbers: dict[int, int] = {}
    for clause in core:
        for literal in clause.literals:
            numbers.setdefault(abs(literal), len(numbers) + 1)

    def contradicts(clauses: Iterable[Clause]) -> bool:
        plain = [
            [numbers[abs(one)] * (1 if one > 0 else -1) for one in clause.literals] for clause in clauses
        ]
        return not satisfiable(plain, len(numbers))

    kept = list(core)
    width = max(1, len(kept) // 2)
    while True:
        position = 0
        while position < len(kept):
            rest = kept[:position] + kept[position + width :]
            if contradicts(rest):
                kept = rest
            else:
                position += width
        if width == 1:
            return kept
        width //= 2


class _Proof:
    """A minimal contradiction, told from the recipe down."""

    def __init__(self, pool: Pool, core: Sequence[Clause]) -> None:
        self._pool = pool
        self._by_owner: dict[int, list[tuple[Origin, list[int]]]] = {}
        self._excluded: dict[str, Request] = {}
        self._rivals: set[str] = set()
        for clause in core:
            origin: Origin | None = clause.origin
            if origin is None:
                continue
            if origin.kind == "excluded" and origin.request:
                self._excluded[pool.records[origin.owner].name] = origin.request
            elif origin.kind == "version":
                self._rivals.add(pool.records[origin.owner].name)
            else:
                taken = sorted(literal for literal in clause.literals if literal > 0)
                self._by_owner.setdefault(origin.owner, []).append((origin, taken))
        self._roots = sorted(self._by_owner.get(ROOT, []), key=self._rank)
        self._labels = self._label()

    def error(self) -> ResolveError:
        wheres = [origin.request.where for origin, _ in self._roots if origin.request]
        where = next((where for where in wheres if where), None)
        told = self._told()
        sentence = self._chain(told)
        if sentence:
            return ResolveError(sentence, where=where, hint=self._hint())
        subjects = [str(origin.group[0]) for origin, _ in self._roots]
        if len(subjects) > 1:
            head = f"{', '.join(subjects[:-1])} and {subjects[-1]} cannot be installed together"
        else:
            head = f"{''.join(subjects) or 'the recipe'} cannot be installed"
        lines = told[:_LINES] + ([f"and {len(told) - _LINES} more"] if len(told) > _LINES else [])
        return ResolveError("\n  ".join([head, *lines]), where=where, hint=self._hint())

    def _rank(self, item: tuple[Origin, list[int]]) -> tuple[str, str]:
        origin = item[0]
        return relations.format_group(origin.group), origin.request.where if origin.request else ""

    def _label(self) -> dict[int, str]:
        """Name each package; with its version where two versions of it say different things."""
        said: dict[str, set[tuple[str, ...]]] = {}
        for owner, items in self._by_owner.items():
            if owner != ROOT:
                texts = tuple(
                    sorted(f"{item[0].kind} {relations.format_group(item[0].group)}" for item in items)
                )
                said.setdefault(self._pool.records[owner].name, set()).add(texts)
        labels = {}
        for owner in self._by_owner:
            if owner != ROOT:
                record = self._pool.records[owner]
                several = len(said[record.name]) > 1
                labels[owner] = f"{record.name} {record.version}" if several else record.name
        return labels

    def _told(self) -> list[str]:
        """Return every statement once, from the recipe to the dead ends."""
        lines: dict[str, None] = {}
        places: dict[str, str] = {}
        queue: list[int] = []
        for origin, taken in self._roots:
            where = origin.request.where if origin.request else ""
            if where and len(self._roots) > 1:
                places.setdefault(origin.group[0].name, f" ({where})")
                if self._by_owner.keys().isdisjoint(taken):
                    lines.setdefault(f"{origin.group[0]} is asked for at {where}")
            lines.update(dict.fromkeys(self._remarks(origin, taken)))
            queue += taken
        done: set[int] = set()
        while queue:
            owner = queue.pop(0)
            if owner not in done:
                done.add(owner)
                following: list[int] = []
                for origin, taken in self._by_owner.get(owner, ()):
                    place = places.get(self._pool.records[owner].name, "")
                    lines.setdefault(f"{self._labels[owner]}{place} {self._statement(origin, taken)}")
                    following += taken
                queue = following + queue
        for name in sorted(self._rivals):
            lines.setdefault(f"only one version of {name} can be installed")
        return list(lines)

    def _statement(self, origin: Origin, taken: Sequence[int]) -> str:
        statement = f"{_VERBS[origin.kind]} {relations.format_group(origin.group)}{self._through(origin)}"
        return ", ".join([statement, *self._remarks(origin, taken)])

    def _through(self, origin: Origin) -> str:
        """Say who is meant when a conflict is with a name that a package provides."""
        if origin.other:
            name = self._pool.records[origin.other].name
            if name != origin.group[0].name:
                return f", which {name} provides"
        return ""

    def _remarks(self, origin: Origin, taken: Sequence[int]) -> list[str]:
        """Say why alternatives are no way out."""
        if origin.other:
            return []
        remarks = [self._absent(term) for term in origin.group if not self._pool.candidates(term)]
        for name in dict.fromkeys(self._pool.records[one].name for one in taken):
            if name in self._excluded:
                place = self._excluded[name].where
                remarks.append(f"{name} is excluded" + (f" at {place}" if place else ""))
        return remarks

    def _absent(self, term: Relation) -> str:
        universe = self._pool.universe
        offered = universe.versions(term.name)
        versions = [one for one in offered if universe.priority(one, requested=False) > NEVER]
        refused = next((one for one in offered if one not in versions and self._fits(one, term)), None)
        if refused:
            return missing.without_authority(refused)[0]
        if versions and term.qualifier == "any" and versions[0].multi_arch != "allowed":
            return f"{term.name} is not Multi-Arch: allowed"
        if versions:
            return f"the suite has {term.name} {missing.listed([record.version for record in versions])}"
        provided = [
            f"{record.name} provides {one}"
            for record in universe.providers(term.name)
            for one in relations.parse_flat_relations(record.provides)
            if one.name == term.name
        ]
        return missing.listed(provided) if provided else f"there is no {term.name}"

    def _fits(self, record: PackageRecord, term: Relation) -> bool:
        return satisfies(record, term, self._pool.universe.architecture)

    def _chain(self, told: Sequence[str]) -> str:
        """Return one sentence where one thing simply leads to another, else nothing."""
        if len(self._roots) != 1 or self._rivals or len(told) > _CHAIN:
            return ""
        names = [self._pool.records[owner].name for owner in self._by_owner if owner != ROOT]
        simple = len(set(names)) == len(names) and all(
            len(items) == 1
            and not items[0][0].other
            and len({self._pool.records[one].name for one in items[0][1]}) <= 1
            for items in self._by_owner.values()
        )
        return ", ".join(told) if simple else ""

    def _hint(self) -> str:
        if self._excluded:
            names = " and ".join(f"-{name}" for name in sorted(self._excluded))
            return f"take {names} out of the recipe, or what needs it"
        pinned = [origin.request for origin, _ in self._roots if origin.request and origin.request.version]
        if pinned:
            return f"leave out the version of {pinned[0].name}"
        if len(self._roots) > 1:
            return "leave one of them out"
        return "the archive is inconsistent, or a suite or an archive is not named in the recipe"
