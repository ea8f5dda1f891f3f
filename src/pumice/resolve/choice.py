"""Choice among alternatives: the maintainer's first one, unless another is clearly cheaper.

The maintainer of a package lists the preferred alternative first, and apt takes it. Another listed
alternative wins if it adds fewer packages and no more bytes (for ``usrmerge | usr-is-merged`` the
second, because the first depends on perl), or no more packages and far fewer bytes. A small saving
is not enough: for ``gpgv | gpgv1`` the first is the better program. Packages that only provide a
virtual name compete with other providers of it, by priority and then by cost. They replace a package
that is listed before the virtual name only if both are built from one source: for
``systemd | systemd-tmpfiles`` systemd-standalone-tmpfiles, but for ``apache2 | httpd`` no other server.
Candidates from archives that are not meant for dependencies are considered only if there are no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.resolve.pool import Dependency, Pool

Cost = tuple[int, int]
"""Number of additional packages, and their installed size in KiB."""

IMPOSSIBLE: Cost = (1 << 40, 1 << 40)
_PRIORITIES = {"required": 0, "important": 1, "standard": 2, "optional": 3, "extra": 4}
_WORTHWHILE_SAVING = 8 << 10
"""KiB that must be saved before size alone overrides the maintainer's order."""
_MAX_DEPTH = 3
_MAX_STEPS = 20_000


def is_cheaper(alternative: Cost, first: Cost) -> bool:
    """Return whether ``alternative`` is enough cheaper to replace the first alternative."""
    if alternative[0] < first[0]:
        return alternative[1] <= first[1]
    return (
        alternative[0] == first[0]
        and 2 * alternative[1] < first[1]
        and first[1] - alternative[1] >= _WORTHWHILE_SAVING
    )


def compute_cost(pool: Pool, variables: Iterable[int]) -> Cost:
    """Return the number of the packages and their total installed size in KiB."""
    sizes = [pool.records[variable].installed_size for variable in variables]
    return len(sizes), sum(sizes)


class Chooser:
    """Chooses among the candidates of a dependency, given the current assignment of the search."""

    def __init__(self, pool: Pool, preferred: frozenset[str]) -> None:
        self._pool = pool
        self._assignment = pool.engine.assignment
        self._preferred = preferred
        self._costs: dict[tuple[int, int], Cost] = {}
        self._steps_left = _MAX_STEPS

    def choose(self, dependency: Dependency) -> int:
        """Return the best unassigned candidate, 0 if there is none."""
        self._costs = {}
        self._steps_left = _MAX_STEPS
        return self._choose(dependency, 0)

    def compare(self, dependency: Dependency) -> list[tuple[int, Cost]]:
        """Return the candidates that compete for a dependency with their costs, in the maintainer's order.

        If the first alternative is a virtual name, its other providers follow the one that is chosen.
        """
        self._costs = {}
        self._steps_left = _MAX_STEPS
        open_candidates = [variable for variable in dependency.candidates if self._assignment[variable] == 0]
        if not open_candidates:
            return []
        open_candidates = self._select_best_tier(open_candidates)
        options = self._list_options(dependency, open_candidates, 0)
        first_term = dependency.origin.group[0]
        names = {self._pool.records[option].name for option in options}
        if first_term.name not in names:
            satisfying = set(self._pool.candidates(first_term))
            options += [
                variable
                for variable in open_candidates
                if variable in satisfying and self._pool.records[variable].name not in names
            ]
        return [(option, self._estimate_cost(option, 0)) for option in options]

    def _choose(self, dependency: Dependency, depth: int) -> int:
        open_candidates = [variable for variable in dependency.candidates if self._assignment[variable] == 0]
        if len(open_candidates) < 2 or not dependency.has_alternatives:
            return open_candidates[0] if open_candidates else 0
        open_candidates = self._select_best_tier(open_candidates)
        for variable in open_candidates:
            if self._pool.records[variable].name in self._preferred or self._pool.is_pinned(variable):
                return variable
        options = self._list_options(dependency, open_candidates, depth)
        if len(options) == 1 or depth >= _MAX_DEPTH or self._steps_left <= 0:
            return options[0]
        costs = [self._estimate_cost(option, depth) for option in options]
        best = 0
        for position in range(1, len(options)):
            if is_cheaper(costs[position], costs[best]):
                best = position
        return options[best]

    def _select_best_tier(self, open_candidates: list[int]) -> list[int]:
        """Return the candidates from the archives best suited for dependencies, and the pinned ones."""
        pool = self._pool
        best = min(map(pool.tier, open_candidates))
        return [
            variable
            for variable in open_candidates
            if pool.tier(variable) == best or pool.is_pinned(variable)
        ]

    def _list_options(self, dependency: Dependency, open_candidates: Sequence[int], depth: int) -> list[int]:
        """Return the candidate of the first alternative, then those of the other listed real packages.

        After them come the providers of listed virtual names that are built from the source of the first.
        """
        records = self._pool.records
        options: dict[str, int] = {}
        unnamed_providers: list[int] = []
        for term in dependency.origin.group:
            candidate = next(
                (provider for provider in open_candidates if records[provider].name == term.name), 0
            )
            if candidate:
                options.setdefault(term.name, candidate)
                continue
            satisfying = set(self._pool.candidates(term))
            providers = [variable for variable in open_candidates if variable in satisfying]
            if providers and not options:
                provider = self._choose_provider(providers, depth)
                options[records[provider].name] = provider
            elif providers:
                unnamed_providers += providers
        for provider in self._find_same_source(unnamed_providers, options):
            options.setdefault(records[provider].name, provider)
        return list(options.values()) or [open_candidates[0]]

    def _find_same_source(self, providers: Sequence[int], options: Mapping[str, int]) -> list[int]:
        """Return the providers built from the source of the first option, by name.

        They are parts of the same program, such as systemd-standalone-tmpfiles. Any other provider is
        another program: a web server is not chosen only because it is small.
        """
        if not providers:
            return []
        records = self._pool.records
        source = records[next(iter(options.values()))].source
        same_source = [variable for variable in providers if records[variable].source == source]
        return sorted(same_source, key=lambda variable: records[variable].name)

    def _choose_provider(self, providers: Sequence[int], depth: int) -> int:
        if len(providers) == 1:
            return providers[0]
        records = self._pool.records

        def rank(variable: int) -> tuple[bool, int, Cost, str]:
            record = records[variable]
            cost = (
                self._estimate_cost(variable, depth)
                if depth < _MAX_DEPTH and self._steps_left > 0
                else (0, 0)
            )
            return not record.essential, _PRIORITIES.get(record.priority, 5), cost, record.name

        return min(providers, key=rank)  # min returns the first of equals: the preferred version

    def _estimate_cost(self, variable: int, depth: int) -> Cost:
        cost = self._costs.get((variable, depth))
        if cost is None:
            additions = self.estimate_additions(variable, depth + 1)
            cost = IMPOSSIBLE if additions is None else compute_cost(self._pool, additions)
            self._costs[variable, depth] = cost
        return cost

    def estimate_additions(self, variable: int, depth: int = 0) -> list[int] | None:
        """Estimate which packages installing ``variable`` would add; None if it cannot be installed.

        Conflicts among the added packages are ignored; the search finds them.
        """
        additions = {variable: None}
        queue = [variable]
        deferred: list[Dependency] = []
        while queue or deferred:
            self._steps_left -= 1
            if not queue:
                dependency = deferred.pop(0)
                if not self._is_satisfied(dependency, additions) and not self._add_candidate(
                    dependency, depth, additions, queue
                ):
                    return None
                continue
            for dependency in self._pool.dependencies(queue.pop()):
                if dependency.waiver or self._is_satisfied(dependency, additions):
                    continue
                if dependency.has_alternatives:
                    deferred.append(dependency)
                elif not self._add_candidate(dependency, depth, additions, queue):
                    return None
        return list(additions)

    def _is_satisfied(self, dependency: Dependency, additions: dict[int, None]) -> bool:
        return any(
            candidate in additions or self._assignment[candidate] > 0 for candidate in dependency.candidates
        )

    def _add_candidate(
        self, dependency: Dependency, depth: int, additions: dict[int, None], queue: list[int]
    ) -> bool:
        candidate = self._choose(dependency, depth)
        if candidate:
            additions[candidate] = None
            queue.append(candidate)
        return bool(candidate)
