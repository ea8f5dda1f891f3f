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


def prune(pool: Pool, packages: PackageSet) -> PackageSet:
    """Return a subset that satisfies every dependency and from which no package can be removed."""
    while True:
        support = _SupportGraph(pool, packages)
        packages = support.find_reachable()
        best_rank: tuple[int, Cost, int] | None = None
        best_packages = packages
        for variable in sorted(packages - support.find_indispensable()):
            removed_packages = support.find_unsatisfied(variable)
            if removed_packages is None:
                continue
            remaining_packages = support.find_reachable(removed_packages)
            rank = (_sum_tiers(pool, remaining_packages), compute_cost(pool, remaining_packages), variable)
            if best_rank is None or rank < best_rank:
                best_rank, best_packages = rank, remaining_packages
        if best_rank is None:
            return packages
        packages = best_packages


def try_alternatives(
    pool: Pool, packages: PackageSet, search_again: Callable[[frozenset[str]], PackageSet | None]
) -> PackageSet:
    """Return the smallest set found by preferring alternatives that were not chosen at first.

    ``search_again`` repeats the search and prefers the given names. A result replaces ``packages`` if it
    has fewer packages and no more bytes.
    """
    preferred_names: frozenset[str] = frozenset()
    tried_names: set[str] = set()
    for _ in range(_TRIES):
        name = _find_promising_name(pool, packages, tried_names)
        if not name:
            break
        tried_names.add(name)
        alternative_set = search_again(preferred_names | {name})
        if alternative_set is not None and _is_better(pool, alternative_set, packages):
            packages, preferred_names = alternative_set, preferred_names | {name}
    return packages


def satisfied_dependencies(
    pool: Pool, packages: PackageSet, variable: int
) -> Iterable[tuple[Dependency, list[int]]]:
    """Yield each dependency of a package with the chosen packages that satisfy it.

    Recommendations that are not followed are omitted.
    """
    for dependency in pool.dependencies(variable):
        satisfying = [candidate for candidate in dependency.candidates if candidate in packages]
        if satisfying:
            yield dependency, satisfying


def _is_smaller(candidate: Cost, cost: Cost) -> bool:
    return candidate[0] < cost[0] and candidate[1] <= cost[1]


def _is_better(pool: Pool, candidate: PackageSet, packages: PackageSet) -> bool:
    """Return whether a set is smaller and takes no more packages from less suitable archives."""
    return _is_smaller(compute_cost(pool, candidate), compute_cost(pool, packages)) and (
        _sum_tiers(pool, candidate) <= _sum_tiers(pool, packages)
    )


def _sum_tiers(pool: Pool, packages: PackageSet) -> int:
    return sum(map(pool.tier, packages))


def find_reachable(pool: Pool, packages: PackageSet, removed_packages: set[int]) -> PackageSet:
    """Return the members of ``packages`` that the recipe still leads to without ``removed_packages``."""
    return _SupportGraph(pool, packages).find_reachable(removed_packages)


class _SupportGraph:
    """The dependencies within a package set, in both directions."""

    def __init__(self, pool: Pool, packages: PackageSet) -> None:
        self._satisfying: dict[int, list[list[int]]] = {
            owner: [satisfying for _, satisfying in satisfied_dependencies(pool, packages, owner)]
            for owner in (ROOT, *sorted(packages))
        }
        self._dependents: dict[int, list[tuple[int, list[int]]]] = {}
        for owner, dependencies in self._satisfying.items():
            for satisfying in dependencies:
                for variable in satisfying:
                    self._dependents.setdefault(variable, []).append((owner, satisfying))

    def find_reachable(self, removed_packages: set[int] | None = None) -> PackageSet:
        """Return the packages that the recipe leads to without ``removed_packages``."""
        visited = {ROOT} | (removed_packages or set())
        queue = [ROOT]
        while queue:
            for satisfying in self._satisfying[queue.pop()]:
                for variable in satisfying:
                    if variable not in visited:
                        visited.add(variable)
                        queue.append(variable)
        return frozenset(visited.difference((ROOT,), removed_packages or ()))

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
        removed_packages = {variable}
        queue = [variable]
        while queue:
            for owner, satisfying in self._dependents.get(queue.pop(), ()):
                if owner not in removed_packages and removed_packages.issuperset(satisfying):
                    if owner == ROOT:
                        return None
                    removed_packages.add(owner)
                    queue.append(owner)
        return removed_packages


def _find_promising_name(pool: Pool, packages: PackageSet, tried_names: set[str]) -> str:
    """Return the name of an alternative that is estimated to make the set smaller, or ``""``."""
    chooser = Chooser(pool, frozenset())
    best: tuple[Cost, str] | None = None
    for variable in _find_unused_alternatives(pool, packages):
        name = pool.records[variable].name
        additions = None if name in tried_names else chooser.estimate_additions(variable)
        if additions is None:
            continue
        pruned_packages = prune(pool, packages.union(additions))
        cost = compute_cost(pool, pruned_packages)
        if _is_better(pool, pruned_packages, packages) and (best is None or (cost, name) < best):
            best = (cost, name)
    return best[1] if best else ""


def _find_unused_alternatives(pool: Pool, packages: PackageSet) -> list[int]:
    """Return unchosen alternatives of the dependencies that no indispensable package satisfies."""
    indispensable = {ROOT}
    queue = [ROOT]
    while queue:
        for dependency, satisfying in satisfied_dependencies(pool, packages, queue.pop()):
            if not dependency.has_alternatives and satisfying[0] not in indispensable:
                indispensable.add(satisfying[0])
                queue.append(satisfying[0])
    unused_candidates: dict[int, int] = {}
    for owner in sorted((ROOT, *packages)):
        for dependency, satisfying in satisfied_dependencies(pool, packages, owner):
            if (
                not dependency.has_alternatives
                or dependency.waiver
                or not indispensable.isdisjoint(satisfying)
            ):
                continue
            alternative_names = {term.name for term in dependency.origin.group}
            satisfying_names = {pool.records[candidate].name for candidate in satisfying}
            for candidate in dependency.candidates:
                name = pool.records[candidate].name
                if name in alternative_names and name not in satisfying_names:
                    unused_candidates[candidate] = unused_candidates.get(candidate, 0) + 1
    return list(unused_candidates)
