"""The slices that others require: cycles, missing ones, and the order in which they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import Problem, SliceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.slices.model import Release, Slice


MANIFEST = "manifest"
"""The only value of 'generate'. Another one counts only where its slice is selected, as with Chisel."""


def find_problems(release: Release, slices: Sequence[Slice]) -> list[Problem]:
    """Return the required slices that do not exist, and the cycles; architectures do not matter here."""
    problems: list[Problem] = []
    for item in slices:
        for essential in item.essential:
            if release.find_slice(essential.name) is None:
                where = release.location(essential, item.package)
                message = f"{item.full_name} requires {essential.name[:160]}, which does not exist"
                problems.append(Problem(message, where=where, hint=_suggest(release, essential.name)))
    successors = {item.full_name: [other.name for other in item.essential] for item in slices}
    for cycle in find_cycles(successors):
        first = release.find_slice(cycle[0])
        if first:
            names = ", ".join(cycle[:20]) + (", …" if len(cycle) > 20 else "")
            where = release.location(first, first.package)
            problems.append(Problem(f"slices require each other: {names}", where=where))
    return problems


def select(release: Release, names: Iterable[str], architecture: str = "") -> list[Slice]:
    """Return the slices with these names and all that they require, each after those that it requires.

    With ``architecture``, requirements for other architectures do not count. Raises UsageError for a slice
    that does not exist, and SliceError for what this version cannot generate.
    """
    ordered: dict[str, Slice] = {}
    for name in sorted(set(names)):
        _visit(release, _require(release, name), architecture, ordered)
    if problems := list(_find_unknown_generators(release, ordered.values())):
        raise SliceError(problems)
    return list(ordered.values())


def _find_unknown_generators(release: Release, slices: Iterable[Slice]) -> Iterator[Problem]:
    for item in slices:
        for rule in item.contents:
            if rule.kind == "generate" and rule.generate != MANIFEST:
                message = f"{item.full_name}: {rule.path}: 'generate' cannot be {rule.generate[:40]!r}"
                where = release.location(rule, item.package)
                yield Problem(message, where=where, hint=f"write 'generate: {MANIFEST}'")


def _require(release: Release, name: str) -> Slice:
    item = release.find_slice(name)
    if item is None:
        raise UsageError(f"the slice {name[:160]!r} does not exist", hint=_suggest(release, name))
    return item


def _visit(release: Release, start: Slice, architecture: str, ordered: dict[str, Slice]) -> None:
    """Add ``start`` and what it requires to ``ordered``, with an explicit stack."""
    stack: list[tuple[Slice, Iterator[str]]] = [(start, iter(_required(start, architecture)))]
    open_names = {start.full_name}
    while stack:
        item, required = stack[-1]
        following = next((name for name in required if name not in ordered and name not in open_names), None)
        if following is None:
            ordered[item.full_name] = item
            open_names.discard(item.full_name)
            stack.pop()
            continue
        next_item = _require(release, following)
        open_names.add(following)
        stack.append((next_item, iter(_required(next_item, architecture))))


def _required(item: Slice, architecture: str) -> list[str]:
    return sorted(
        essential.name
        for essential in item.essential
        if not architecture or not essential.architectures or architecture in essential.architectures
    )


def find_cycles(successors: dict[str, list[str]]) -> list[list[str]]:
    """Return the groups of names that lead to each other, sorted (Tarjan's algorithm, without recursion)."""
    index: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_names: list[str] = []
    is_open: set[str] = set()
    cycles: list[list[str]] = []
    for start in sorted(successors):
        if start in index:
            continue
        stack: list[tuple[str, Iterator[str]]] = []
        _enter(start, successors, index, lowest, open_names, is_open, stack)
        while stack:
            name, following = stack[-1]
            target = next(following, None)
            if target is None:
                stack.pop()
                if stack:
                    parent = stack[-1][0]
                    lowest[parent] = min(lowest[parent], lowest[name])
                if lowest[name] == index[name]:
                    group = _close(name, open_names, is_open)
                    if len(group) > 1:
                        cycles.append(sorted(group))
            elif target not in index and target in successors:
                _enter(target, successors, index, lowest, open_names, is_open, stack)
            elif target in is_open:
                lowest[name] = min(lowest[name], index[target])
    return sorted(cycles)


def _enter(
    name: str,
    successors: dict[str, list[str]],
    index: dict[str, int],
    lowest: dict[str, int],
    open_names: list[str],
    is_open: set[str],
    stack: list[tuple[str, Iterator[str]]],
) -> None:
    index[name] = lowest[name] = len(index)
    open_names.append(name)
    is_open.add(name)
    stack.append((name, iter(successors[name])))


def _close(name: str, open_names: list[str], is_open: set[str]) -> list[str]:
    group: list[str] = []
    while True:
        member = open_names.pop()
        is_open.discard(member)
        group.append(member)
        if member == name:
            return group


def _suggest(release: Release, name: str) -> str:
    """Return a hint for a name of a slice that does not exist."""
    from difflib import get_close_matches

    package, _, slice_name = name.partition("_")
    definition = release.packages.get(package)
    if definition:
        slice_names = sorted(definition.slices)
        close = get_close_matches(slice_name, slice_names, n=1)
        if close:
            return f"did you mean {package}_{close[0]}?"
        return f"the slices of {package} are {', '.join(slice_names)[:200]}"
    close = get_close_matches(package[:100], list(release.packages), n=1)
    return f"did you mean {close[0]}?" if close else "list the slices with 'pumice slice list'"
