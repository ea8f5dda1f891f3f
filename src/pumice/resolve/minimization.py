"""Minimization of a solution: remove unneeded packages and try alternatives that satisfy more at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.resolve.choice import Chooser, compute_cost
from pumice.resolve.pool import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pumice.resolve.choice import Cost
    from pumice.resolve.pool import Dependency, Pool

PackageSet = frozenset[int]
_TRIES = 12


def prune(pool: Pool, chosen: PackageSet) -> PackageSet:
    """Return a subset that satisfies every dependency and from which no package can be removed."""
    while True:
        support = _SupportGraph(pool, chosen)
        chosen = support.find_reachable()
        best: tuple[int, Cost, int] | None = None
        smaller = chosen
        for variable in sorted(chosen - support.find_indispensable()):
            removed = support.find_unsatisfied(variable)
            if removed is None:
                continue
            remaining = support.find_reachable(removed)
            rank = (_total_tier(pool, remaining), compute_cost(pool, remaining), variable)
            if best is None or rank < best:
                best, smaller = rank, remaining
        if best is None:
            return chosen
        chosen = smaller


def try_alternatives(
    pool: Pool, chosen: PackageSet, search_again: Callable[[frozenset[str]], PackageSet | None]
) -> PackageSet:
    """Return the smallest set found by preferring alternatives that were not chosen at first.

    ``search_again`` repeats the search and prefers the given names. A result replaces ``chosen`` if it
    has fewer packages and no more bytes.
    """
    preferred: frozenset[str] = frozenset()
    tried: set[str] = set()
    for _ in range(_TRIES):
        name = _find_promising_name(pool, chosen, tried)
        if not name:
            break
        tried.add(name)
        alternative_set = search_again(preferred | {name})
        if alternative_set is not None and _is_better(pool, alternative_set, chosen):
            chosen, preferred = alternative_set, preferred | {name}
    return chosen


def satisfied_dependencies(
    pool: Pool, chosen: PackageSet, variable: int
) -> Iterable[tuple[Dependency, list[int]]]:
    """Yield each dependency of a package with the chosen packages that satisfy it.

    Recommendations that are not followed are omitted.
    """
    for need in pool.dependencies(variable):
        satisfying = [candidate for candidate in need.candidates if candidate in chosen]
        if satisfying:
            yield need, satisfying


def _is_smaller(candidate: Cost, cost: Cost) -> bool:
    return candidate[0] < cost[0] and candidate[1] <= cost[1]


def _is_better(pool: Pool, candidate: PackageSet, chosen: PackageSet) -> bool:
    """Return whether a set is smaller and takes no more packages from less suitable archives."""
    return _is_smaller(compute_cost(pool, candidate), compute_cost(pool, chosen)) and (
        _total_tier(pool, candidate) <= _total_tier(pool, chosen)
    )


def _total_tier(pool: Pool, chosen: PackageSet) -> int:
    return sum(map(pool.tier, chosen))


def find_reachable(pool: Pool, chosen: PackageSet, removed: set[int]) -> PackageSet:
    """Return the packages of ``chosen`` that the recipe still leads to without ``removed``."""
    return _SupportGraph(pool, chosen).find_reachable(removed)


class _SupportGraph:
    """The dependencies within a package set, in both directions."""

    def __init__(self, pool: Pool, chosen: PackageSet) -> None:
        self._satisfying: dict[int, list[list[int]]] = {
            owner: [satisfying for _, satisfying in satisfied_dependencies(pool, chosen, owner)]
            for owner in (ROOT, *sorted(chosen))
        }
        self._dependents: dict[int, list[tuple[int, list[int]]]] = {}
        for owner, needs in self._satisfying.items():
            for found in needs:
                for variable in found:
                    self._dependents.setdefault(variable, []).append((owner, found))

    def find_reachable(self, removed: set[int] | None = None) -> PackageSet:
        """Return the packages that the recipe leads to without ``removed``."""
        visited = {ROOT} | (removed or set())
        queue = [ROOT]
        while queue:
            for satisfying in self._satisfying[queue.pop()]:
                for variable in satisfying:
                    if variable not in visited:
                        visited.add(variable)
                        queue.append(variable)
        return frozenset(visited.difference((ROOT,), removed or ()))

    def find_indispensable(self) -> set[int]:
        """Return the packages that the recipe leads to through dependencies with one chosen candidate."""
        visited = {ROOT}
        queue = [ROOT]
        while queue:
            for satisfying in self._satisfying[queue.pop()]:
                if len(satisfying) == 1 and satisfying[0] not in visited:
                    visited.add(satisfying[0])
                    queue.append(satisfying[0])
        return visited

    def find_unsatisfied(self, variable: int) -> set[int] | None:
        """Return the packages that would lose a dependency without ``variable``; None if the recipe would."""
        removed = {variable}
        queue = [variable]
        while queue:
            for owner, satisfying in self._dependents.get(queue.pop(), ()):
                if owner not in removed and removed.issuperset(satisfying):
                    if owner == ROOT:
                        return None
                    removed.add(owner)
                    queue.append(owner)
        return removed


def _find_promising_name(pool: Pool, chosen: PackageSet, tried: set[str]) -> str:
    """Return the name of an alternative that is estimated to make the set smaller, or ``""``."""
    chooser = Chooser(pool, frozenset())
    best: tuple[Cost, str] | None = None
    for variable in _find_unused_alternatives(pool, chosen):
        name = pool.records[variable].name
        additions = None if name in tried else chooser.estimate_additions(variable)
        if additions is None:
            continue
        smaller = prune(pool, chosen.union(additions))
        trial = compute_cost(pool, smaller)
        if _is_better(pool, smaller, chosen) and (best is None or (trial, name) < best):
            best = (trial, name)
    return best[1] if best else ""


def _find_unused_alternatives(pool: Pool, chosen: PackageSet) -> list[int]:
    """Return unchosen alternatives of the dependencies that no indispensable package satisfies."""
    indispensable = {ROOT}
    queue = [ROOT]
    while queue:
        for need, satisfying in satisfied_dependencies(pool, chosen, queue.pop()):
            if not need.has_alternatives and satisfying[0] not in indispensable:
                indispensable.add(satisfying[0])
                queue.append(satisfying[0])
    unused: dict[int, int] = {}
    for owner in sorted((ROOT, *chosen)):
        for need, satisfying in satisfied_dependencies(pool, chosen, owner):
            if not need.has_alternatives or need.waiver or not indispensable.isdisjoint(satisfying):
                continue
            alternative_names = {term.name for term in need.origin.group}
            satisfying_names = {pool.records[candidate].name for candidate in satisfying}
            for candidate in need.candidates:
                name = pool.records[candidate].name
                if name in alternative_names and name not in satisfying_names:
                    unused[candidate] = unused.get(candidate, 0) + 1
    return list(unused)
