"""The resolver: from requirements to an exact set of packages, or a proof that there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.preferences import NEVER, archive_name
from pumice.distro.universe import BASE_DATA, LOCALE_DATA
from pumice.distro.versions import compare_versions
from pumice.formats import relations
from pumice.formats.relations import Relation
from pumice.resolve import minimization
from pumice.resolve.choice import Chooser
from pumice.resolve.engine import Engine, Unsatisfiable
from pumice.resolve.pool import ROOT, Dependency, Origin, Pool
from pumice.resolve.problem import LocalOverlay, Reason, Solution, matches_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.distro.universe import Universe
    from pumice.formats.aptindex import PackageRecord
    from pumice.recipe.model import Request
    from pumice.resolve.problem import ReasonKind, Requirements


def resolve(universe: Universe, requirements: Requirements) -> Solution:
    """Return the packages that satisfy ``requirements``; raises ResolveError with a readable proof.

    The result does not depend on the order of the requests.
    """
    if requirements.local:
        universe = LocalOverlay(universe, requirements.local.values())
    requests = sorted(
        requirements.requests, key=lambda request: (request.name, request.version, request.file)
    )
    _check_names(universe, requirements)
    engine = Engine()
    pool = Pool(universe, requirements, engine)
    pool.set_root(root_dependencies(pool, requests))
    try:
        packages = _search(pool, frozenset())
    except Unsatisfiable as contradiction:
        from pumice.resolve.proof import explain_conflict

        raise explain_conflict(pool, contradiction.core) from None

    def search_again(preferred: frozenset[str]) -> minimization.PackageSet | None:
        try:
            return _search(pool, preferred)
        except Unsatisfiable:
            return None

    solution = _make_solution(pool, minimization.try_alternatives(pool, packages, search_again))
    engine.expand = None  # breaks a reference cycle that would keep the whole index in memory
    return solution


def _check_names(universe: Universe, requirements: Requirements) -> None:
    """Raise ResolveError if a requested name or version does not exist."""
    missing = [
        request
        for request in requirements.requests
        if not request.exclude
        and not request.file
        and not any(
            (not request.version or matches_version(record.version, request.version))
            and (universe.priority(record, requested=True) > NEVER or requirements.is_pinned(record))
            for record in universe.versions(request.name)
        )
    ]
    if missing:
        from pumice.resolve.missing_packages import missing_packages_error

        raise missing_packages_error(universe, missing)


def root_dependencies(pool: Pool, requests: Iterable[Request]) -> Iterable[Dependency]:
    """Yield the dependencies of the recipe: its requests, and the essential packages if requested."""
    excluded: set[str] = set()
    for request in requests:
        if request.exclude:
            excluded.add(request.name)
            continue
        record = pool.requirements.local.get(request.file) if request.file else None
        name = record.name if record else request.name
        exact_version = record.version if record else request.version
        relation = Relation(name, "=" if exact_version else "", exact_version)
        candidates = pool.requested_variables(name, exact_version)
        if record:
            candidates = candidates[:1]
        yield Dependency(
            Origin("request", ROOT, (relation,), request=request), candidates, has_alternatives=False
        )
    if pool.requirements.base == "essential":
        for record in pool.universe.essential():
            if record.name not in excluded:
                relation = Relation(record.name)
                yield Dependency(
                    Origin("essential", ROOT, (relation,)),
                    pool.variables(record.name),
                    has_alternatives=False,
                )


def _search(pool: Pool, preferred: frozenset[str]) -> minimization.PackageSet:
    """Run the search to completion and return the chosen packages, without unneeded ones."""
    engine = pool.engine
    engine.backtrack(0)
    decisions = _DecisionQueue(pool, preferred)
    while True:
        engine.propagate()
        literal = decisions.next_literal()
        if not literal:
            break
        engine.decide(literal)
    installed = frozenset(variable for variable in engine.trail if variable in pool.records)
    return minimization.prune(pool, installed)


class _DecisionQueue:
    """The order of decisions: first dependencies in which only the version is open, then
    alternatives, and recommendations when everything else is decided."""

    def __init__(self, pool: Pool, preferred: frozenset[str]) -> None:
        self._pool = pool
        self._chooser = Chooser(pool, preferred)
        self._trail_position = 0
        self._deferred: list[Dependency] = []
        self._recommendations: list[Dependency] = []
        self._checkpoints: list[tuple[int, int, int]] = []

    def next_literal(self) -> int:
        """Return the literal to decide next, 0 if everything is satisfied."""
        self._restore_checkpoint()
        checkpoint = (self._trail_position, len(self._deferred), len(self._recommendations))
        literal = (
            self._choose_next_mandatory()
            or self._choose_next_open(self._deferred)
            or self._choose_next_open(self._recommendations)
        )
        if literal:
            self._checkpoints.append(checkpoint)
        return literal

    def _restore_checkpoint(self) -> None:
        """Restore the state before the decisions that the search has undone."""
        level = len(self._pool.engine.level_starts)
        if level < len(self._checkpoints):
            self._trail_position, deferred_count, recommendation_count = self._checkpoints[level]
            del (
                self._checkpoints[level:],
                self._deferred[deferred_count:],
                self._recommendations[recommendation_count:],
            )

    def _choose_next_mandatory(self) -> int:
        trail = self._pool.engine.trail
        while self._trail_position < len(trail):
            literal = trail[self._trail_position]
            if literal > 0:
                for dependency in self._pool.dependencies(literal):
                    if self._is_satisfied(dependency):
                        continue
                    if dependency.waiver:
                        self._recommendations.append(dependency)
                    elif dependency.has_alternatives:
                        self._deferred.append(dependency)
                    else:
                        return self._chooser.choose(dependency)
            self._trail_position += 1
        return 0

    def _choose_next_open(self, dependencies: list[Dependency]) -> int:
        return next(
            (
                self._chooser.choose(dependency)
                for dependency in dependencies
                if not self._is_satisfied(dependency)
            ),
            0,
        )

    def _is_satisfied(self, dependency: Dependency) -> bool:
        assignment = self._pool.engine.assignment
        if dependency.waiver and assignment[dependency.waiver] > 0:
            return True
        return any(assignment[candidate] > 0 for candidate in dependency.candidates)


def _make_solution(pool: Pool, packages: minimization.PackageSet) -> Solution:
    records = sorted((pool.records[variable] for variable in packages), key=lambda record: record.name)
    base_data = list(_find_base_data(pool, records)) if pool.requirements.base == "data" else []
    reasons = _find_reasons(pool, packages) | {record.name: Reason("base-data") for record in base_data}
    return Solution(
        packages=tuple(records),
        base_data=tuple(base_data),
        reasons=reasons,
        held_back=tuple(_find_held_back(pool, records)),
        contested=tuple(_find_contested(pool, (*records, *base_data))),
    )


def _find_base_data(pool: Pool, records: Iterable[PackageRecord]) -> Iterable[PackageRecord]:
    """Yield the packages of ``base: data`` that are neither installed nor excluded.

    The locale is that of the installed C library's version, if the archive still has it.
    """
    installed = {record.name: record for record in records}
    skipped = installed.keys() | {request.name for request in pool.requirements.requests if request.exclude}
    for name in BASE_DATA:
        if name not in skipped and (variables := pool.variables(name)):
            yield pool.records[variables[0]]
    for library, name in LOCALE_DATA.items():
        if library in installed and name not in skipped and (variables := pool.variables(name)):
            candidates = [pool.records[variable] for variable in variables]
            same_version = (record for record in candidates if record.version == installed[library].version)
            yield next(same_version, candidates[0])


def _find_held_back(pool: Pool, records: Iterable[PackageRecord]) -> Iterable[tuple[PackageRecord, str]]:
    requests = {request.name: request for request in pool.requirements.requests if not request.exclude}
    for record in records:
        request = requests.get(record.name)
        is_fixed = request is not None and bool(request.version or request.file)
        if is_fixed or pool.requirements.is_pinned(record):
            continue
        preferred_record = pool.preferred_version(record.name, requested=request is not None)
        if preferred_record and compare_versions(record.version, preferred_record.version) < 0:
            yield record, preferred_record.version


def _find_contested(
    pool: Pool, records: Iterable[PackageRecord]
) -> Iterable[tuple[PackageRecord, tuple[PackageRecord, ...]]]:
    """Yield packages that several archives have; the archives of the distribution count as one."""
    for record in records:
        records_by_archive = {archive_name(record): record}
        for candidate in pool.universe.versions(record.name):
            records_by_archive.setdefault(archive_name(candidate), candidate)
        other_records = tuple(
            records_by_archive[archive]
            for archive in sorted(records_by_archive)
            if records_by_archive[archive] is not record
        )
        if other_records and record.suite:
            yield record, other_records


def _find_reasons(pool: Pool, packages: minimization.PackageSet) -> dict[str, Reason]:
    """Return the reason for each package by name, breadth first from the recipe."""
    reasons: dict[str, Reason] = {}
    queue = [ROOT]
    for variable in queue:
        for dependency, satisfying in minimization.satisfied_dependencies(pool, packages, variable):
            for package in satisfying:
                name = pool.records[package].name
                if name not in reasons:
                    reasons[name] = _make_reason(pool, dependency)
                    queue.append(package)
    return reasons


def _make_reason(pool: Pool, dependency: Dependency) -> Reason:
    origin = dependency.origin
    if origin.kind == "request":
        return Reason("requested", where=origin.request.where if origin.request else "")
    if origin.kind == "essential":
        return Reason("essential")
    kind: ReasonKind = "recommended" if origin.kind == "recommends" else "needed"
    return Reason(kind, pool.records[origin.owner].name, relations.format_group(origin.group))
