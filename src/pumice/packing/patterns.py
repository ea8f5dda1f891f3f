"""File name patterns: shell wildcards with ``**``, and what a list of patterns ignored in format 1.

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
    """Whether a path component has wildcards in it."""
    return not _WILD.isdisjoint(component)


def component_matches(name: str, pattern: str) -> bool:
    """Whether a name matches ``pattern``; one that begins with a dot only if the pattern does."""
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _compiled(pattern).match(name) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


class _Rule(msgspec.Struct, frozen=True):
    components: tuple[str, ...]
    negated: bool
    directories_only: bool


class FirstIgnore:
    """What images of format 1 leave out; `pumice.formats.gitignore` is right where this is not.

    Of a list of patterns the last that matches decides; ``!`` takes things back in. A pattern with a
    ``/`` in it begins at the copied folder, any other matches at every depth; one with a ``/`` at its
    end matches folders only. What lies in an ignored folder is never looked at.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules = tuple(_rule(pattern) for pattern in patterns)

    def __call__(self, path: str, *, is_directory: bool) -> bool:
        """Whether to leave out ``path``, relative to the copied folder."""
        parts = tuple(path.split("/"))
        for rule in reversed(self._rules):
            if rule.directories_only and not is_directory:
                continue
            if _path_matches(parts, rule.components):
                return not rule.negated
        return False


def _rule(pattern: str) -> _Rule:
    negated = pattern.startswith("!")
    body = pattern[1:] if negated else pattern
    directories_only = body.endswith("/")
    components = tuple(part for part in body.split("/") if part)
    if "/" not in body.rstrip("/"):
        components = ("**", *components)
    return _Rule(components, negated, directories_only)


def _path_matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Match components against patterns; ``**`` stands for any number of them, at the end for some."""
    # reached[i]: the patterns so far can match the first i parts. One pass a pattern, so a row of
    # ** costs no more than any other pattern.
    reached = [True] + [False] * len(parts)
    for number, pattern in enumerate(patterns):
        fresh = [False] * (len(parts) + 1)
        if pattern == "**":
            seen = False
            last = number == len(patterns) - 1
            for position in range(len(parts) + 1):
                fresh[position] = seen or (reached[position] and not last)
                seen = seen or reached[position]
        else:
            compiled = _compiled(pattern)
            for position, part in enumerate(parts):
                fresh[position + 1] = reached[position] and compiled.match(part) is not None
        reached = fresh
    return bool(patterns) and reached[-1]
