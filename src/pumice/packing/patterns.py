"""File name patterns: shell wildcards with ``**``, and the ignore rules of format 1.

Names are matched one path component at a time, so ``*`` never crosses a ``/``.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_WILD = frozenset("*?[")


def is_wild(component: str) -> bool:
    """Whether a path component contains wildcards."""
    return not _WILD.isdisjoint(component)


def component_matches(name: str, pattern: str) -> bool:
    """Whether a name matches ``pattern``; a leading dot matches only a leading dot in the pattern."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _compile(pattern).match(name) is not None


@lru_cache(maxsize=1024)
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def path_matches(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the components of a path match those of a glob.

    ``**`` matches any number of directories, at the end everything below, but no name with a leading dot.
    """
    if not pattern:
        return not names
    if pattern[0] != "**":
        return (
            bool(names) and component_matches(names[0], pattern[0]) and path_matches(names[1:], pattern[1:])
        )
    if len(pattern) > 1 and path_matches(names, pattern[1:]):
        return True
    is_below = bool(names) and not names[0].startswith(".")
    return is_below and (path_matches(names[1:], pattern) or (len(pattern) == 1 and len(names) == 1))


class _IgnoreRule(msgspec.Struct, frozen=True):
    components: tuple[str, ...]
    is_negated: bool
    is_directories_only: bool


class Format1Ignore:
    """The ignore rules of format 1, which differ from gitignore(5) (`pumice.formats.gitignore`).

    The last matching pattern decides, and ``!`` negates a pattern. A pattern that contains a ``/`` is
    relative to the copied directory, any other matches at every depth. A pattern that ends with ``/``
    matches directories only. Ignored directories are not read.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules = tuple(_parse_rule(pattern) for pattern in patterns)

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Whether ``path``, relative to the copied directory, is ignored."""
        components = tuple(path.split("/"))
        for rule in reversed(self._rules):
            if rule.is_directories_only and not is_directory:
                continue
            if _match_path(components, rule.components):
                return not rule.is_negated
        return False


def _parse_rule(pattern: str) -> _IgnoreRule:
    is_negated = pattern.startswith("!")
    body = pattern[1:] if is_negated else pattern
    is_directories_only = body.endswith("/")
    components = tuple(component for component in body.split("/") if component)
    if "/" not in body.rstrip("/"):
        components = ("**", *components)
    return _IgnoreRule(components, is_negated, is_directories_only)


def _match_path(components: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether ``components`` match; ``**`` matches any number of components, at the end at least one."""
    # reached[i]: the patterns so far match the first i components. With one pass for each pattern,
    # several ** cost no more than other patterns.
    reached = [True] + [False] * len(components)
    for index, pattern in enumerate(patterns):
        next_reached = [False] * (len(components) + 1)
        if pattern == "**":
            is_reached = False
            is_last = index == len(patterns) - 1
            for position in range(len(components) + 1):
                next_reached[position] = is_reached or (reached[position] and not is_last)
                is_reached = is_reached or reached[position]
        else:
            compiled = _compile(pattern)
            for position, component in enumerate(components):
                next_reached[position + 1] = reached[position] and compiled.match(component) is not None
        reached = next_reached
    return bool(patterns) and reached[-1]
