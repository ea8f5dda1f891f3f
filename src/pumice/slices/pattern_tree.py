"""Finds the paths and patterns of a release that overlap, without comparing all pairs.

The paths form a tree of their components, in which equal components share a node. The tree is joined with
itself: nodes are compared only if their parents overlap, and a pair of nodes is skipped if everything below
belongs to one owner, whose own paths never conflict. From a component with ``**`` on, a pattern is kept as a
tail at its node, and compared with what is below.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import msgspec

from pumice.packing import path_patterns as patterns

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_STEPS = 500_000
"""The most comparisons, of which one of long patterns counts as several: about ten seconds."""
_CHARACTERS_PER_STEP = 8


class TooManyComparisonsError(Exception):
    """The patterns need more comparisons than allowed; ``path`` is one of them."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class TreePath(msgspec.Struct, frozen=True, gc=False):
    """A path or pattern. Two of the same ``owner`` do not conflict."""

    path: str
    owner: str
    is_pattern: bool


class _Node:
    __slots__ = ("ends", "has_patterns", "literal", "owners", "tails", "wild")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.wild: dict[str, _Node] = {}
        self.ends: list[TreePath] = []
        self.tails: list[tuple[str, TreePath]] = []
        self.owners: set[str] = set()
        self.has_patterns = False


class PatternTree:
    """The paths of a release; `overlaps` yields those that conflict."""

    def __init__(self) -> None:
        self._root = _Node()
        self._component_overlaps: dict[tuple[str, str], bool] = {}
        self._steps = 0

    def add(self, path: TreePath) -> None:
        """Add a path."""
        node = self._root
        components = path.path.split("/")
        for number, component in enumerate(components):
            node.owners.add(path.owner)
            node.has_patterns = node.has_patterns or path.is_pattern
            if "**" in component:
                node.tails.append(("/".join(components[number:]), path))
                return
            children = node.wild if patterns.is_pattern(component) else node.literal
            child = children.get(component)
            if child is None:
                child = children[component] = _Node()
            node = child
        node.owners.add(path.owner)
        node.has_patterns = node.has_patterns or path.is_pattern
        node.ends.append(path)

    def overlaps(self) -> Iterator[tuple[TreePath, TreePath]]:
        """Yield each pair of different paths that overlap, of which one is a pattern, once.

        Raises TooManyComparisonsError.
        """
        compared_pairs: set[tuple[str, str, str, str]] = set()
        for pair in self._join(self._root, self._root):
            first, second = sorted(pair, key=lambda item: (item.path, item.owner))
            if first.path == second.path or first.owner == second.owner:
                continue
            if not (first.is_pattern or second.is_pattern):
                continue
            key = first.path, first.owner, second.path, second.owner
            if key not in compared_pairs:
                compared_pairs.add(key)
                yield first, second

    def _join(self, first: _Node, second: _Node) -> Iterator[tuple[TreePath, TreePath]]:
        pending = [(first, second)]
        while pending:
            left, right = pending.pop()
            if _is_harmless(left, right):
                continue
            yield from ((left_end, right_end) for left_end in left.ends for right_end in right.ends)
            yield from self._compare_tails(left, right)
            if left is not right:
                yield from self._compare_tails(right, left)
            pending += self._overlapping_children(left, right)

    def _overlapping_children(self, left: _Node, right: _Node) -> Iterator[tuple[_Node, _Node]]:
        for component, child in left.literal.items():
            other = right.literal.get(component)
            if other is not None:
                yield child, other
        is_self = left is right
        if left.wild:
            others = _PrefixIndex({**right.literal, **right.wild})
            yield from self._overlapping_wildcards(left.wild, others, is_self=is_self)
        if right.wild and not is_self:
            yield from self._overlapping_wildcards(right.wild, _PrefixIndex(left.literal), is_self=False)

    def _overlapping_wildcards(
        self, wild: dict[str, _Node], others: _PrefixIndex, *, is_self: bool
    ) -> Iterator[tuple[_Node, _Node]]:
        for component, child in wild.items():
            for other_component, other in others.find(patterns.literal_prefix(component)):
                if is_self and other_component in wild and other_component < component:
                    continue  # the pair comes in the other order as well
                if not _is_harmless(child, other) and self._components_overlap(component, other_component):
                    yield child, other

    def _components_overlap(self, component: str, other: str) -> bool:
        key = component, other
        result = self._component_overlaps.get(key)
        if result is None:
            self._count(component, component, other)
            result = self._component_overlaps[key] = patterns.overlap(component, other)
        return result

    def _compare_tails(self, node: _Node, other: _Node) -> Iterator[tuple[TreePath, TreePath]]:
        """Yield what overlaps with the tails of ``node`` at and below ``other``."""
        for tail, path in node.tails:
            prefix = patterns.literal_prefix(tail)
            for rest, other_path in self._below(other, prefix, path.owner):
                self._count(path.path, tail, rest)
                if patterns.overlap(tail, rest):
                    yield path, other_path

    def _below(self, node: _Node, prefix: str, owner: str) -> Iterator[tuple[str, TreePath]]:
        """Yield the rests of the paths below ``node`` that may have ``prefix`` and have other owners."""
        pending = [("", node)]
        while pending:
            head, current = pending.pop()
            if current.owners == {owner}:
                continue
            yield from ((head[:-1], path) for path in current.ends if head and path.owner != owner)
            yield from ((head + tail, path) for tail, path in current.tails if path.owner != owner)
            for children in (current.literal, current.wild):
                for component, child in children.items():
                    rest = f"{head}{component}/"
                    literal = patterns.literal_prefix(rest)
                    if prefix.startswith(literal) or literal.startswith(prefix) or literal[:-1] == prefix:
                        pending.append((rest, child))

    def _count(self, path: str, first: str, second: str) -> None:
        self._steps += 1 + len(first) * len(second) // _CHARACTERS_PER_STEP
        if self._steps > MAX_STEPS:
            raise TooManyComparisonsError(path)


class _PrefixIndex:
    """The children of a node, by the text before their first wildcard."""

    def __init__(self, children: dict[str, _Node]) -> None:
        self._children = children
        items = sorted((patterns.literal_prefix(component), component) for component in children)
        self._prefixes = [prefix for prefix, _ in items]
        self._components = [component for _, component in items]
        # A shorter literal component does not match, so only the prefixes of patterns are looked up.
        self._patterns: dict[str, list[str]] = {}
        for prefix, component in items:
            if component != prefix:
                self._patterns.setdefault(prefix, []).append(component)
        self._lengths = sorted({len(prefix) for prefix in self._patterns})

    def find(self, prefix: str) -> Iterator[tuple[str, _Node]]:
        """Yield the children whose prefix begins with ``prefix``, or the reverse."""
        at = bisect_left(self._prefixes, prefix)
        while at < len(self._prefixes) and self._prefixes[at].startswith(prefix):
            yield self._components[at], self._children[self._components[at]]
            at += 1
        for length in self._lengths:
            if length >= len(prefix):
                return
            for component in self._patterns.get(prefix[:length], ()):
                yield component, self._children[component]


def _is_harmless(left: _Node, right: _Node) -> bool:
    """Whether no path of one node can conflict with one of the other."""
    if not (left.has_patterns or right.has_patterns):
        return True
    return len(left.owners) == 1 and left.owners == right.owners
