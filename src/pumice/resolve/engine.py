"""A small SAT solver with conflict-driven clause learning (CDCL) and lazily generated clauses.

It knows nothing about packages. A literal is the number of a variable, or its negation; a clause is
a list of literals of which at least one must be true. The clauses of a variable are generated when it
first becomes true, so a universe of 60,000 packages costs only the part that the search visits. Each
learned clause records its antecedents: if the clauses are unsatisfiable, they are the proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Clause:
    """A disjunction. ``origin`` is its meaning; ``antecedents`` are the clauses it was learned from."""

    __slots__ = ("antecedents", "literals", "origin")

    def __init__(self, literals: list[int], origin: Any = None, antecedents: tuple[Clause, ...] = ()) -> None:
        self.literals = literals
        self.origin = origin
        self.antecedents = antecedents


class Unsatisfiable(Exception):  # noqa: N818 - a result of the search that callers handle, not an error
    """No assignment satisfies the clauses; ``core`` are original clauses that contradict each other."""

    def __init__(self, core: list[Clause]) -> None:
        super().__init__("no assignment satisfies the clauses")
        self.core = core


class Engine:
    """The state of one search: each variable's value, decision level and reason."""

    def __init__(self) -> None:
        self.assignment: list[int] = [0]
        """By variable: 1 true, -1 false, 0 unassigned."""
        self.trail: list[int] = []
        """True literals in the order of their assignment."""
        self.level_starts: list[int] = []
        """Length of the trail at the start of each decision level."""
        self.expand: Callable[[int], Iterable[Clause]] | None = None
        """Generates the clauses of a variable when it first becomes true."""
        self._expanded: list[bool] = [False]
        self._levels: list[int] = [0]
        self._reasons: list[Clause | None] = [None]
        self._watches: dict[int, list[Clause]] = {}
        self._pending_clauses: list[Clause] = []
        self._propagation_head = 0

    def new_variable(self) -> int:
        """Return the number of a new variable."""
        self.assignment.append(0)
        self._expanded.append(False)
        self._levels.append(0)
        self._reasons.append(None)
        return len(self.assignment) - 1

    def add_clause(self, clause: Clause) -> None:
        """Add a clause; it takes effect at the next `propagate`."""
        self._pending_clauses.append(clause)

    def literal_value(self, literal: int) -> int:
        """Return 1 if ``literal`` is true, -1 if it is false, 0 if it is unassigned."""
        return self.assignment[literal] if literal > 0 else -self.assignment[-literal]

    def decide(self, literal: int) -> None:
        """Open a decision level in which ``literal`` is true."""
        self.level_starts.append(len(self.trail))
        self._assign(literal, None)

    def propagate(self) -> bool:
        """Propagate unit clauses, learning from each conflict, until there is no conflict.

        Returns whether decisions were undone. Raises Unsatisfiable.
        """
        backtracked = False
        while conflict := self._propagate_to_conflict():
            self._learn_from_conflict(conflict)
            backtracked = True
        return backtracked

    def backtrack(self, level: int) -> None:
        """Undo all decisions above decision level ``level``."""
        if len(self.level_starts) <= level:
            return
        start = self.level_starts[level]
        for literal in self.trail[start:]:
            self.assignment[abs(literal)] = 0
            self._reasons[abs(literal)] = None
        del self.trail[start:]
        del self.level_starts[level:]
        self._propagation_head = min(self._propagation_head, start)

    def _assign(self, literal: int, reason: Clause | None) -> None:
        variable = abs(literal)
        self.assignment[variable] = 1 if literal > 0 else -1
        self._levels[variable] = len(self.level_starts)
        self._reasons[variable] = reason
        self.trail.append(literal)

    def _propagate_to_conflict(self) -> Clause | None:
        while True:
            while self._pending_clauses:
                if conflict := self._attach(self._pending_clauses.pop()):
                    return conflict
            if self._propagation_head == len(self.trail):
                return None
            literal = self.trail[self._propagation_head]
            self._propagation_head += 1
            if conflict := self._visit_watches(-literal):
                return conflict
            if literal > 0 and not self._expanded[literal] and self.expand:
                self._expanded[literal] = True
                self._pending_clauses.extend(reversed(list(self.expand(literal))))

    def _attach(self, clause: Clause) -> Clause | None:
        """Watch the two literals that become false last; propagate if the clause is unit."""
        literals = clause.literals
        if len(literals) > 1:
            literals.sort(key=self._rank_for_watching, reverse=True)
            self._watches.setdefault(literals[0], []).append(clause)
            self._watches.setdefault(literals[1], []).append(clause)
        else:
            self.backtrack(0)  # a unit clause belongs to level 0
        if self.literal_value(literals[0]) < 0:
            return clause
        if self.literal_value(literals[0]) == 0 and (
            len(literals) == 1 or self.literal_value(literals[1]) < 0
        ):
            self._assign(literals[0], clause)
        return None

    def _rank_for_watching(self, literal: int) -> int:
        value = self.literal_value(literal)
        if value == 0:
            return 1 << 30
        return (1 << 31) if value > 0 else self._levels[abs(literal)]

    def _visit_watches(self, false_literal: int) -> Clause | None:
        """Update the clauses that watch a literal that became false; return one that is in conflict."""
        watching_clauses = self._watches.get(false_literal)
        if not watching_clauses:
            return None
        remaining_clauses: list[Clause] = []
        assignment = self.assignment
        for position, clause in enumerate(watching_clauses):
            literals = clause.literals
            if literals[0] == false_literal:
                literals[0], literals[1] = literals[1], false_literal
            first_literal = literals[0]
            state = assignment[first_literal] if first_literal > 0 else -assignment[-first_literal]
            if state > 0:
                remaining_clauses.append(clause)
                continue
            for index in range(2, len(literals)):
                replacement = literals[index]
                if (assignment[replacement] if replacement > 0 else -assignment[-replacement]) >= 0:
                    literals[1], literals[index] = replacement, false_literal
                    self._watches.setdefault(replacement, []).append(clause)
                    break
            else:
                remaining_clauses.append(clause)
                if state < 0:
                    self._watches[false_literal] = remaining_clauses + watching_clauses[position + 1 :]
                    return clause
                self._assign(first_literal, clause)
        self._watches[false_literal] = remaining_clauses
        return None

    def _learn_from_conflict(self, conflict: Clause) -> None:
        """Learn the clause of the first unique implication point and backtrack to where it is unit."""
        level = max((self._levels[abs(literal)] for literal in conflict.literals), default=0)
        if level == 0:
            raise Unsatisfiable(
                _find_original_clauses((conflict, *self._find_root_reasons(conflict.literals)))
            )
        self.backtrack(level)
        learned_literals: list[int] = []
        antecedents, root_literals, visited, unresolved_count = [conflict], [], {0}, 0
        clause, position = conflict, len(self.trail) - 1
        while True:
            for literal in clause.literals:
                variable = abs(literal)
                if variable in visited or self.literal_value(literal) > 0:
                    continue
                visited.add(variable)
                if self._levels[variable] == level:
                    unresolved_count += 1
                elif self._levels[variable] > 0:
                    learned_literals.append(literal)
                else:
                    root_literals.append(literal)
            while (
                abs(self.trail[position]) not in visited or self._levels[abs(self.trail[position])] != level
            ):
                position -= 1
            pivot = self.trail[position]
            position -= 1
            unresolved_count -= 1
            reason = self._reasons[abs(pivot)]
            if unresolved_count == 0 or reason is None:
                break
            antecedents.append(reason)
            clause = reason
        target_level = max((self._levels[abs(literal)] for literal in learned_literals), default=0)
        antecedents.extend(self._find_root_reasons(root_literals))
        self.backtrack(target_level)
        self._pending_clauses.append(Clause([-pivot, *learned_literals], None, tuple(antecedents)))

    def _find_root_reasons(self, literals: Iterable[int]) -> list[Clause]:
        """Return the reasons of literals that were settled before any decision."""
        reasons: list[Clause] = []
        visited: set[int] = set()
        queue = [abs(literal) for literal in literals]
        while queue:
            variable = queue.pop()
            if variable in visited:
                continue
            visited.add(variable)
            if reason := self._reasons[variable]:
                reasons.append(reason)
                queue.extend(abs(literal) for literal in reason.literals)
        return reasons


def _find_original_clauses(clauses: Iterable[Clause]) -> list[Clause]:
    original_clauses: dict[int, Clause] = {}
    visited: set[int] = set()
    queue = list(clauses)
    while queue:
        clause = queue.pop()
        if id(clause) in visited:
            continue
        visited.add(id(clause))
        if clause.antecedents:
            queue.extend(clause.antecedents)
        else:
            original_clauses[id(clause)] = clause
    return list(original_clauses.values())


def is_satisfiable(clauses: Iterable[list[int]], variables: int) -> bool:
    """Return whether some assignment of variables 1 to ``variables`` satisfies ``clauses``."""
    engine = Engine()
    for _ in range(variables):
        engine.new_variable()
    for literals in clauses:
        engine.add_clause(Clause(list(literals)))
    try:
        while True:
            engine.propagate()
            unassigned = [variable for variable in range(1, variables + 1) if not engine.assignment[variable]]
            if not unassigned:
                return True
            engine.decide(-unassigned[0])
    except Unsatisfiable:
        return False
