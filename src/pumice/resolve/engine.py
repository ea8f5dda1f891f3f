"""A small clause-learning search (CDCL) over clauses that appear while it runs.

It knows nothing of packages. A literal is a variable's number, or its negative; a clause is a list
of literals of which one must hold. Clauses that belong to a variable are asked for when it first
becomes true, so a universe of 60,000 packages costs only what is looked at. Each learned clause
remembers the clauses it follows from: when nothing is left to try, those are the proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Clause:
    """A disjunction; ``origin`` says what it means, ``causes`` what a learned one follows from."""

    __slots__ = ("causes", "literals", "origin")

    def __init__(self, literals: list[int], origin: Any = None, causes: tuple[Clause, ...] = ()) -> None:
        self.literals = literals
        self.origin = origin
        self.causes = causes


class Contradiction(Exception):  # noqa: N818  it is a result, caught by those who ask
    """Nothing satisfies the clauses; ``core`` are given ones that contradict each other."""

    def __init__(self, core: list[Clause]) -> None:
        super().__init__("no assignment satisfies the clauses")
        self.core = core


class Engine:
    """The state of one search: what is assigned, why, and since which decision."""

    def __init__(self) -> None:
        self.value: list[int] = [0]
        """By variable: 1 true, -1 false, 0 open."""
        self.trail: list[int] = []
        """Literals in the order in which they came to hold."""
        self.marks: list[int] = []
        """Length of the trail before each decision."""
        self.expand: Callable[[int], Iterable[Clause]] | None = None
        """Gives the clauses that come with a variable when it first becomes true."""
        self._expanded: list[bool] = [False]
        self._level: list[int] = [0]
        self._reason: list[Clause | None] = [None]
        self._watches: dict[int, list[Clause]] = {}
        self._incoming: list[Clause] = []
        self._head = 0

    def variable(self) -> int:
        """Return a new variable."""
        self.value.append(0)
        self._expanded.append(False)
        self._level.append(0)
        self._reason.append(None)
        return len(self.value) - 1

    def add(self, clause: Clause) -> None:
        """Add a clause; it takes effect with the next `propagate`."""
        self._incoming.append(clause)

    def holds(self, literal: int) -> int:
        """Return 1, -1 or 0 as ``literal`` is true, false or open."""
        return self.value[literal] if literal > 0 else -self.value[-literal]

    def decide(self, literal: int) -> None:
        """Assume an open literal."""
        self.marks.append(len(self.trail))
        self._assign(literal, None)

    def settle(self) -> bool:
        """Propagate, learning from conflicts until there are none.

        Returns whether decisions were taken back; raises Contradiction.
        """
        back = False
        while conflict := self._propagate():
            self._learn(conflict)
            back = True
        return back

    def undo(self, level: int) -> None:
        """Take back all decisions after the first ``level``."""
        if len(self.marks) <= level:
            return
        start = self.marks[level]
        for literal in self.trail[start:]:
            self.value[abs(literal)] = 0
            self._reason[abs(literal)] = None
        del self.trail[start:]
        del self.marks[level:]
        self._head = min(self._head, start)

    def _assign(self, literal: int, reason: Clause | None) -> None:
        variable = abs(literal)
        self.value[variable] = 1 if literal > 0 else -1
        self._level[variable] = len(self.marks)
        self._reason[variable] = reason
        self.trail.append(literal)

    def _propagate(self) -> Clause | None:
        while True:
            while self._incoming:
                if conflict := self._attach(self._incoming.pop()):
                    return conflict
            if self._head == len(self.trail):
                return None
            literal = self.trail[self._head]
            self._head += 1
            if conflict := self._visit(-literal):
                return conflict
            if literal > 0 and not self._expanded[literal] and self.expand:
                self._expanded[literal] = True
                self._incoming.extend(reversed(list(self.expand(literal))))

    def _attach(self, clause: Clause) -> Clause | None:
        """Watch the two literals that stay open longest, and draw the conclusion if there is one."""
        literals = clause.literals
        if len(literals) > 1:
            literals.sort(key=self._openness, reverse=True)
            self._watches.setdefault(literals[0], []).append(clause)
            self._watches.setdefault(literals[1], []).append(clause)
        else:
            self.undo(0)  # what holds alone holds before any decision
        if self.holds(literals[0]) < 0:
            return clause
        if self.holds(literals[0]) == 0 and (len(literals) == 1 or self.holds(literals[1]) < 0):
            self._assign(literals[0], clause)
        return None

    def _openness(self, literal: int) -> int:
        holds = self.holds(literal)
        if holds == 0:
            return 1 << 30
        return (1 << 31) if holds > 0 else self._level[abs(literal)]

    def _visit(self, false: int) -> Clause | None:
        """Look at the clauses that watch a literal which is now false."""
        watching = self._watches.get(false)
        if not watching:
            return None
        kept: list[Clause] = []
        value = self.value
        for position, clause in enumerate(watching):
            literals = clause.literals
            if literals[0] == false:
                literals[0], literals[1] = literals[1], false
            first = literals[0]
            state = value[first] if first > 0 else -value[-first]
            if state > 0:
                kept.append(clause)
                continue
            for index in range(2, len(literals)):
                other = literals[index]
                if (value[other] if other > 0 else -value[-other]) >= 0:
                    literals[1], literals[index] = other, false
                    self._watches.setdefault(other, []).append(clause)
                    break
            else:
                kept.append(clause)
                if state < 0:
                    self._watches[false] = kept + watching[position + 1 :]
                    return clause
                self._assign(first, clause)
        self._watches[false] = kept
        return None

    def _learn(self, conflict: Clause) -> None:
        """Derive the clause at the first unique implication point, and go back to where it bites."""
        level = max((self._level[abs(literal)] for literal in conflict.literals), default=0)
        if level == 0:
            raise Contradiction(_leaves((conflict, *self._roots(conflict.literals))))
        self.undo(level)
        learned: list[int] = []
        causes, settled, seen, open_here = [conflict], [], {0}, 0
        clause, position = conflict, len(self.trail) - 1
        while True:
            for literal in clause.literals:
                variable = abs(literal)
                if variable in seen or self.holds(literal) > 0:
                    continue
                seen.add(variable)
                if self._level[variable] == level:
                    open_here += 1
                elif self._level[variable] > 0:
                    learned.append(literal)
                else:
                    settled.append(literal)
            while abs(self.trail[position]) not in seen or self._level[abs(self.trail[position])] != level:
                position -= 1
            pivot = self.trail[position]
            position -= 1
            open_here -= 1
            reason = self._reason[abs(pivot)]
            if open_here == 0 or reason is None:
                break
            causes.append(reason)
            clause = reason
        target = max((self._level[abs(literal)] for literal in learned), default=0)
        causes.extend(self._roots(settled))
        self.undo(target)
        self._incoming.append(Clause([-pivot, *learned], None, tuple(causes)))

    def _roots(self, literals: Iterable[int]) -> list[Clause]:
        """Return the reasons of literals that were settled before any decision."""
        found: list[Clause] = []
        seen: set[int] = set()
        queue = [abs(literal) for literal in literals]
        while queue:
            variable = queue.pop()
            if variable in seen:
                continue
            seen.add(variable)
            if reason := self._reason[variable]:
                found.append(reason)
                queue.extend(abs(literal) for literal in reason.literals)
        return found


def _leaves(clauses: Iterable[Clause]) -> list[Clause]:
    found: dict[int, Clause] = {}
    seen: set[int] = set()
    queue = list(clauses)
    while queue:
        clause = queue.pop()
        if id(clause) in seen:
            continue
        seen.add(id(clause))
        if clause.causes:
            queue.extend(clause.causes)
        else:
            found[id(clause)] = clause
    return list(found.values())


def satisfiable(clauses: Iterable[list[int]], variables: int) -> bool:
    """Say whether some assignment satisfies ``clauses`` over variables 1 to ``variables``."""
    engine = Engine()
    for _ in range(variables):
        engine.variable()
    for literals in clauses:
        engine.add(Clause(list(literals)))
    try:
        while True:
            engine.settle()
            open_ones = [variable for variable in range(1, variables + 1) if not engine.value[variable]]
            if not open_ones:
                return True
            engine.decide(-open_ones[0])
    except Contradiction:
        return False
