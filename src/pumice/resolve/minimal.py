"""Making a solution smaller: leave out what nothing needs, and try alternatives that serve twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.resolve.choice import Chooser, cost_of
from pumice.resolve.pool import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pumice.resolve.choice import Cost
    from pumice.resolve.pool import Need, Pool

Chosen = frozenset[int]
_TRIES = 12


def prune(pool: Pool, chosen: Chosen) -> Chosen:
    """Return a subset that still satisfies every need, from which no package can be left out."""
    while True:
        support = _Support(pool, chosen)
        chosen = support.reachable()
        best: tuple[int, Cost, int] | None = None
        smaller = chosen
        for variable in sorted(chosen - support.indispensable()):
            gone = support.gone_without(variable)
            if gone is None:
                continue
            rest = support.reachable(gone)
            rank = (_foreign(pool, rest), cost_of(pool, rest), variable)
            if best is None or rank < best:
                best, smaller = rank, rest
        if best is None:
            return chosen
        chosen = smaller


def improve(pool: Pool, chosen: Chosen, again: Callable[[frozenset[str]], Chosen | None]) -> Chosen:
    """Try alternatives that were passed over where they would serve instead of what was taken.

    ``again`` repeats the search with a preference for some names. A try is kept when it has fewer
    packages and no more bytes.
    """
    preferred: frozenset[str] = frozenset()
    tried: set[str] = set()
    for _ in range(_TRIES):
        name = _promising(pool, chosen, tried)
        if not name:
            break
        tried.add(name)
        other = again(preferred | {name})
        if other is not None and _is_better(pool, other, chosen):
            chosen, preferred = other, preferred | {name}
    return chosen


def supporters(pool: Pool, chosen: Chosen, variable: int) -> Iterable[tuple[Need, list[int]]]:
    """Yield the needs of a package with what satisfies each; a waived recommendation is left out."""
    for need in pool.needs(variable):
        found = [one for one in need.candidates if one in chosen]
        if found:
            yield need, found


def _fewer(other: Cost, cost: Cost) -> bool:
    return other[0] < cost[0] and other[1] <= cost[1]


def _is_better(pool: Pool, other: Chosen, chosen: Chosen) -> bool:
    """Return whether a set is smaller, and takes no more from archives that are a last resort."""
    return _fewer(cost_of(pool, other), cost_of(pool, chosen)) and (
        _foreign(pool, other) <= _foreign(pool, chosen)
    )


def _foreign(pool: Pool, chosen: Chosen) -> int:
    return sum(map(pool.tier, chosen))


def reachable(pool: Pool, chosen: Chosen, gone: set[int]) -> Chosen:
    """Return what the recipe leads to within ``chosen`` when ``gone`` are not there."""
    return _Support(pool, chosen).reachable(gone)


class _Support:
    """Who satisfies whose needs within a set: each need of ``owner`` with its satisfiers."""

    def __init__(self, pool: Pool, chosen: Chosen) -> None:
        self._of: dict[int, list[list[int]]] = {
            owner: [found for _, found in supporters(pool, chosen, owner)]
            for owner in (ROOT, *sorted(chosen))
        }
        self._uses: dict[int, list[tuple[int, list[int]]]] = {}
        for owner, needs in self._of.items():
            for found in needs:
                for one in found:
                    self._uses.setdefault(one, []).append((owner, found))

    def reachable(self, gone: set[int] | None = None) -> Chosen:
        """Return what the recipe leads to, when ``gone`` are not there."""
        seen = {ROOT} | (gone or set())
        queue = [ROOT]
        while queue:
            for found in self._of[queue.pop()]:
                for one in found:
                    if one not in seen:
                        seen.add(one)
                        queue.append(one)
        return frozenset(seen.difference((ROOT,), gone or ()))

    def indispensable(self) -> set[int]:
        """Return what the recipe needs through needs that one package alone satisfies."""
        seen = {ROOT}
        queue = [ROOT]
        while queue:
            for found in self._of[queue.pop()]:
                if len(found) == 1 and found[0] not in seen:
                    seen.add(found[0])
                    queue.append(found[0])
        return seen

    def gone_without(self, variable: int) -> set[int] | None:
        """Return what cannot stay when a package is left out (None: the recipe itself)."""
        gone = {variable}
        queue = [variable]
        while queue:
            for owner, found in self._uses.get(queue.pop(), ()):
                if owner not in gone and gone.issuperset(found):
                    if owner == ROOT:
                        return None
                    gone.add(owner)
                    queue.append(owner)
        return gone


def _promising(pool: Pool, chosen: Chosen, tried: set[str]) -> str:
    """Return the name of an alternative that seems to make the set smaller, if there is one."""
    chooser = Chooser(pool, frozenset())
    best: tuple[Cost, str] | None = None
    for variable in _passed_over(pool, chosen):
        name = pool.records[variable].name
        added = None if name in tried else chooser.added(variable)
        if added is None:
            continue
        smaller = prune(pool, chosen.union(added))
        trial = cost_of(pool, smaller)
        if _is_better(pool, smaller, chosen) and (best is None or (trial, name) < best):
            best = (trial, name)
    return best[1] if best else ""


def _passed_over(pool: Pool, chosen: Chosen) -> list[int]:
    """Return alternatives that are named where nothing indispensable satisfies the need anyhow."""
    firm = {ROOT}
    queue = [ROOT]
    while queue:
        for need, found in supporters(pool, chosen, queue.pop()):
            if not need.several and found[0] not in firm:
                firm.add(found[0])
                queue.append(found[0])
    counted: dict[int, int] = {}
    for one in sorted((ROOT, *chosen)):
        for need, found in supporters(pool, chosen, one):
            if not need.several or need.waiver or not firm.isdisjoint(found):
                continue
            named = {term.name for term in need.origin.group}
            taken = {pool.records[other].name for other in found}
            for other in need.candidates:
                name = pool.records[other].name
                if name in named and name not in taken:
                    counted[other] = counted.get(other, 0) + 1
    return list(counted)
