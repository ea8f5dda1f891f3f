"""Which alternative to take: the distribution's own preference, unless another is plainly cheaper.

The first alternative is what the maintainer prefers, and what apt takes. Another one that is named
wins when it brings fewer packages and no more bytes (of ``usrmerge | usr-is-merged`` the second,
because the first drags in perl), or no more packages and far fewer bytes. Small savings alone are
no reason: of ``gpgv | gpgv1`` the first is the better program. Who merely provides a virtual name
competes only with other providers: by priority, then by cost. Before all that, packages of archives
that are not meant for dependencies are set aside, as long as another alternative is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.resolve.pool import Need, Pool

Cost = tuple[int, int]
"""Packages and KiB that come in addition."""

IMPOSSIBLE: Cost = (1 << 40, 1 << 40)
_PRIORITIES = {"required": 0, "important": 1, "standard": 2, "optional": 3, "extra": 4}
_WORTH_IT = 8 << 10
"""KiB that must be saved before size alone overrules the maintainer's order."""
_DEPTH = 3
_STEPS = 20_000


def cheaper(other: Cost, first: Cost) -> bool:
    """Say whether ``other`` is worth leaving the first alternative for."""
    if other[0] < first[0]:
        return other[1] <= first[1]
    return other[0] == first[0] and 2 * other[1] < first[1] and first[1] - other[1] >= _WORTH_IT


def cost_of(pool: Pool, variables: Iterable[int]) -> Cost:
    """Return how many packages these are, and their installed size in KiB."""
    sizes = [pool.records[variable].installed_size for variable in variables]
    return len(sizes), sum(sizes)


class Chooser:
    """Decides among the alternatives of a need, given what the search holds so far."""

    def __init__(self, pool: Pool, preferred: frozenset[str]) -> None:
        self._pool = pool
        self._value = pool.engine.value
        self._preferred = preferred
        self._costs: dict[tuple[int, int], Cost] = {}
        self._left = _STEPS

    def choose(self, need: Need) -> int:
        """Return the best open candidate (0: there is none)."""
        self._costs = {}
        self._left = _STEPS
        return self._choose(need, 0)

    def _choose(self, need: Need, depth: int) -> int:
        open_ones = [variable for variable in need.candidates if self._value[variable] == 0]
        if len(open_ones) < 2 or not need.several:
            return open_ones[0] if open_ones else 0
        open_ones = self._authorized(open_ones)
        for variable in open_ones:
            if self._pool.records[variable].name in self._preferred or self._pool.is_pinned(variable):
                return variable
        options = self._options(need, open_ones, depth)
        if len(options) == 1 or depth >= _DEPTH or self._left <= 0:
            return options[0]
        costs = [self._cost(option, depth) for option in options]
        best = 0
        for position in range(1, len(options)):
            if cheaper(costs[position], costs[best]):
                best = position
        return options[best]

    def _authorized(self, open_ones: list[int]) -> list[int]:
        """Return those whose archive is meant for dependencies, if there are any; and pinned ones."""
        pool = self._pool
        best = min(map(pool.tier, open_ones))
        return [one for one in open_ones if pool.tier(one) == best or pool.is_pinned(one)]

    def _options(self, need: Need, open_ones: Sequence[int], depth: int) -> list[int]:
        """Return the first choice, then the other alternatives that are named and real."""
        records = self._pool.records
        found: dict[str, int] = {}
        for term in need.origin.group:
            named = next((one for one in open_ones if records[one].name == term.name), 0)
            if named:
                found.setdefault(term.name, named)
            elif not found:
                candidates = set(self._pool.candidates(term))
                providers = [one for one in open_ones if one in candidates]
                if providers:
                    one = self._provider(providers, depth)
                    found[records[one].name] = one
        return list(found.values()) or [open_ones[0]]

    def _provider(self, providers: Sequence[int], depth: int) -> int:
        if len(providers) == 1:
            return providers[0]
        records = self._pool.records

        def rank(variable: int) -> tuple[bool, int, Cost, str]:
            record = records[variable]
            cost = self._cost(variable, depth) if depth < _DEPTH and self._left > 0 else (0, 0)
            return not record.essential, _PRIORITIES.get(record.priority, 5), cost, record.name

        return min(providers, key=rank)  # min keeps the first of equals: the preferred version

    def _cost(self, variable: int, depth: int) -> Cost:
        known = self._costs.get((variable, depth))
        if known is None:
            added = self.added(variable, depth + 1)
            known = IMPOSSIBLE if added is None else cost_of(self._pool, added)
            self._costs[variable, depth] = known
        return known

    def added(self, start: int, depth: int = 0) -> list[int] | None:
        """Estimate what taking ``start`` would add (None: it cannot be taken).

        An estimate, for it does not look for conflicts among what it adds; the search does.
        """
        new = {start: None}
        queue = [start]
        later: list[Need] = []
        while queue or later:
            self._left -= 1
            if not queue:
                need = later.pop(0)
                if not self._met(need, new) and not self._take(need, depth, new, queue):
                    return None
                continue
            for need in self._pool.needs(queue.pop()):
                if need.waiver or self._met(need, new):
                    continue
                if need.several:
                    later.append(need)
                elif not self._take(need, depth, new, queue):
                    return None
        return list(new)

    def _met(self, need: Need, new: dict[int, None]) -> bool:
        return any(one in new or self._value[one] > 0 for one in need.candidates)

    def _take(self, need: Need, depth: int, new: dict[int, None], queue: list[int]) -> bool:
        pick = self._choose(need, depth)
        if pick:
            new[pick] = None
            queue.append(pick)
        return bool(pick)
