"""From what a recipe wants to an exact set of packages, or the reason why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.debian import version
from pumice.distro.preferences import NEVER, archive_of
from pumice.distro.universe import BASE_DATA
from pumice.formats import relations
from pumice.formats.relations import Relation
from pumice.resolve import minimal
from pumice.resolve.choice import Chooser
from pumice.resolve.engine import Contradiction, Engine
from pumice.resolve.pool import ROOT, Need, Origin, Pool
from pumice.resolve.problem import Overlay, Reason, Solution, matches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.distro.universe import Universe
    from pumice.formats.aptindex import PackageRecord
    from pumice.recipe.model import Request
    from pumice.resolve.problem import ReasonKind, Wants


def resolve(universe: Universe, wants: Wants) -> Solution:
    """Return the packages that ``wants`` stands for; raises ResolveError with a readable proof.

    The result depends on the requests as a set, not on their order.
    """
    if wants.local:
        universe = Overlay(universe, wants.local.values())
    requests = sorted(wants.requests, key=lambda request: (request.name, request.version, request.file))
    _check_names(universe, wants)
    engine = Engine()
    pool = Pool(universe, wants, engine)
    pool.set_root(root_needs(pool, requests))
    try:
        chosen = _search(pool, frozenset())
    except Contradiction as contradiction:
        from pumice.resolve.proof import explain

        raise explain(pool, contradiction.core) from None

    def again(preferred: frozenset[str]) -> minimal.Chosen | None:
        try:
            return _search(pool, preferred)
        except Contradiction:
            return None

    solution = _solution(pool, minimal.improve(pool, chosen, again))
    engine.expand = None  # the two know each other, and would keep the whole index in memory together
    return solution


def _check_names(universe: Universe, wants: Wants) -> None:
    """Look at what can be said before any search: names and versions that are not there."""
    missing = [
        request
        for request in wants.requests
        if not request.exclude
        and not request.file
        and not any(
            (not request.version or matches(record.version, request.version))
            and (universe.priority(record, requested=True) > NEVER or wants.is_pin(record))
            for record in universe.versions(request.name)
        )
    ]
    if missing:
        from pumice.resolve.missing import refusal

        raise refusal(universe, missing)


def root_needs(pool: Pool, requests: Iterable[Request]) -> Iterable[Need]:
    """Return what the recipe asks for by name, and the essential packages if it wants those."""
    excluded: set[str] = set()
    for request in requests:
        if request.exclude:
            excluded.add(request.name)
            continue
        record = pool.wants.local.get(request.file) if request.file else None
        name = record.name if record else request.name
        exact = record.version if record else request.version
        relation = Relation(name, "=" if exact else "", exact)
        found = pool.requested(name, exact)
        if record:
            found = found[:1]
        yield Need(Origin("request", ROOT, (relation,), request=request), found, several=False)
    if pool.wants.base == "essential":
        for record in pool.universe.essential():
            if record.name not in excluded:
                relation = Relation(record.name)
                yield Need(Origin("essential", ROOT, (relation,)), pool.variables(record.name), several=False)


def _search(pool: Pool, preferred: frozenset[str]) -> minimal.Chosen:
    """Run the search to its end and return the packages taken, without superfluous ones."""
    engine = pool.engine
    engine.undo(0)
    order = _Agenda(pool, preferred)
    while True:
        engine.settle()
        literal = order.next()
        if not literal:
            break
        engine.decide(literal)
    taken = frozenset(variable for variable in engine.trail if variable in pool.records)
    return minimal.prune(pool, taken)


class _Agenda:
    """What is still to be decided, in which order: first what is forced up to the version, then
    the alternatives, and recommendations when everything else is settled."""

    def __init__(self, pool: Pool, preferred: frozenset[str]) -> None:
        self._pool = pool
        self._chooser = Chooser(pool, preferred)
        self._seen = 0
        self._later: list[Need] = []
        self._soft: list[Need] = []
        self._marks: list[tuple[int, int, int]] = []

    def next(self) -> int:
        """Return the literal to assume next (0: everything is satisfied)."""
        self._rewind()
        marks = (self._seen, len(self._later), len(self._soft))
        literal = self._plain() or self._first(self._later) or self._first(self._soft)
        if literal:
            self._marks.append(marks)
        return literal

    def _rewind(self) -> None:
        """Forget what was seen after decisions that the search has taken back."""
        level = len(self._pool.engine.marks)
        if level < len(self._marks):
            self._seen, later, soft = self._marks[level]
            del self._marks[level:], self._later[later:], self._soft[soft:]

    def _plain(self) -> int:
        trail = self._pool.engine.trail
        while self._seen < len(trail):
            literal = trail[self._seen]
            if literal > 0:
                for need in self._pool.needs(literal):
                    if self._met(need):
                        continue
                    if need.waiver:
                        self._soft.append(need)
                    elif need.several:
                        self._later.append(need)
                    else:
                        return self._chooser.choose(need)
            self._seen += 1
        return 0

    def _first(self, needs: list[Need]) -> int:
        return next((self._chooser.choose(need) for need in needs if not self._met(need)), 0)

    def _met(self, need: Need) -> bool:
        value = self._pool.engine.value
        if need.waiver and value[need.waiver] > 0:
            return True
        return any(value[one] > 0 for one in need.candidates)


def _solution(pool: Pool, chosen: minimal.Chosen) -> Solution:
    records = sorted((pool.records[one] for one in chosen), key=lambda record: record.name)
    names = {record.name for record in records}
    data: list[PackageRecord] = []
    reasons = _reasons(pool, chosen)
    if pool.wants.base == "data":
        excluded = {request.name for request in pool.wants.requests if request.exclude}
        for name in BASE_DATA:
            versions = pool.variables(name)
            if name not in names and name not in excluded and versions:
                data.append(pool.records[versions[0]])
                reasons[name] = Reason("base-data")
    return Solution(
        packages=tuple(records),
        base_data=tuple(data),
        reasons=reasons,
        held_back=tuple(_held_back(pool, records)),
        contested=tuple(_contested(pool, (*records, *data))),
    )


def _held_back(pool: Pool, records: Iterable[PackageRecord]) -> Iterable[tuple[PackageRecord, str]]:
    requests = {request.name: request for request in pool.wants.requests if not request.exclude}
    for record in records:
        request = requests.get(record.name)
        fixed = request is not None and bool(request.version or request.file)
        if fixed or pool.wants.is_pin(record):
            continue
        preferred = pool.candidate(record.name, requested=request is not None)
        if preferred and version.compare(record.version, preferred.version) < 0:
            yield record, preferred.version


def _contested(
    pool: Pool, records: Iterable[PackageRecord]
) -> Iterable[tuple[PackageRecord, tuple[PackageRecord, ...]]]:
    """Yield what several archives offer; the distribution's own archives count as one."""
    for record in records:
        best = {archive_of(record): record}
        for other in pool.universe.versions(record.name):
            best.setdefault(archive_of(other), other)
        others = tuple(best[archive] for archive in sorted(best) if best[archive] is not record)
        if others and record.suite:
            yield record, others


def _reasons(pool: Pool, chosen: minimal.Chosen) -> dict[str, Reason]:
    """Return the shortest way to each package: breadth first from the recipe."""
    found: dict[str, Reason] = {}
    queue = [ROOT]
    for variable in queue:
        for need, supporting in minimal.supporters(pool, chosen, variable):
            for one in supporting:
                name = pool.records[one].name
                if name not in found:
                    found[name] = _reason(pool, need)
                    queue.append(one)
    return found


def _reason(pool: Pool, need: Need) -> Reason:
    origin = need.origin
    if origin.kind == "request":
        return Reason("requested", where=origin.request.where if origin.request else "")
    if origin.kind == "essential":
        return Reason("essential")
    kind: ReasonKind = "recommended" if origin.kind == "recommends" else "needed"
    return Reason(kind, pool.records[origin.owner].name, relations.format_group(origin.group))
