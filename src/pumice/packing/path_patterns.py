"""Patterns of paths: ``?`` is one character, ``*`` any number, both without ``/``; ``**`` is any text.

Nothing here compiles patterns to regular expressions, which take exponential time for some: sets of
positions advance over the text instead, in time proportional to the product of the lengths.
"""

from __future__ import annotations

import re
from functools import lru_cache

_WILD = re.compile("[*?]")
_TOKENS = re.compile(r"\*\*+|[^*]|\*", re.DOTALL)
_RUNS = re.compile(r"\*\*+|[^*?]+|[*?]", re.DOTALL)
_ANY, _STAR, _ONE = "**", "*", "?"


def is_pattern(path: str) -> bool:
    """Whether a path contains wildcards."""
    return _WILD.search(path) is not None


def literal_prefix(pattern: str) -> str:
    """Return the text before the first wildcard."""
    wildcard = _WILD.search(pattern)
    return pattern[: wildcard.start()] if wildcard else pattern


def literal_suffix(pattern: str) -> str:
    """Return the text after the last wildcard."""
    return pattern[max(pattern.rfind("*"), pattern.rfind("?")) + 1 :]


def matches(pattern: str, path: str) -> bool:
    """Whether a pattern matches a whole path without wildcards."""
    prefix, suffix, runs, literals = _split(pattern)
    if not path.startswith(prefix) or not path.endswith(suffix) or len(path) < len(prefix) + len(suffix):
        return False
    text = path[len(prefix) : len(path) - len(suffix)]
    if len(runs) > 1:
        return all(literal in text for literal in literals) and _match_runs(runs, text)
    if not runs or runs[0] == _ONE:
        return len(text) == len(runs) and text != "/"
    return runs[0] == _ANY or "/" not in text


@lru_cache(maxsize=1 << 14)  # each pattern is compared with all files of a package
def _split(pattern: str) -> tuple[str, str, tuple[str, ...], tuple[str, ...]]:
    """Return the literal prefix and suffix of a pattern, what is between them, and the literal texts of that.

    Between them are wildcards and literal texts.
    """
    prefix = literal_prefix(pattern)
    rest = pattern[len(prefix) :]
    suffix = literal_suffix(rest) if rest else ""
    middle = rest[: len(rest) - len(suffix)]
    runs = tuple(_ANY if run.startswith(_ANY) else run for run in _RUNS.findall(middle))
    return prefix, suffix, runs, tuple(run for run in runs if not is_pattern(run))


def _match_runs(runs: tuple[str, ...], text: str) -> bool:
    positions = {0}
    for run in runs:
        if run == _ANY:
            positions = set(range(min(positions), len(text) + 1))
        elif run == _STAR:
            positions = _advance_star(positions, text)
        elif run == _ONE:
            positions = {at + 1 for at in positions if at < len(text) and text[at] != "/"}
        else:
            positions = {at + len(run) for at in positions if text.startswith(run, at)}
        if not positions:
            return False
    return len(text) in positions


def _advance_star(positions: set[int], path: str) -> set[int]:
    reached: set[int] = set()
    for start in sorted(positions):
        if start in reached:
            continue
        end = path.find("/", start)
        reached.update(range(start, (len(path) if end < 0 else end) + 1))
    return reached


def overlap(first: str, second: str) -> bool:
    """Whether there is a path that both patterns match; both may be paths without wildcards."""
    if first == second:
        return True
    if not is_pattern(first):
        return matches(second, first) if is_pattern(second) else False
    if not is_pattern(second):
        return matches(first, second)
    first_prefix, second_prefix = literal_prefix(first), literal_prefix(second)
    if not (first_prefix.startswith(second_prefix) or second_prefix.startswith(first_prefix)):
        return False
    first_suffix, second_suffix = literal_suffix(first), literal_suffix(second)
    if not (first_suffix.endswith(second_suffix) or second_suffix.endswith(first_suffix)):
        return False
    return _overlap_tokens(_tokens(first), _tokens(second))


def _overlap_tokens(first: list[str], second: list[str]) -> bool:
    """Whether two lists of tokens have a common text.

    ``row[j]`` says whether the tokens so far and ``second[:j]`` can stand for the same text; a star that
    was consumed last can go on.
    """
    row = [True]
    for token in second:
        row.append(row[-1] and token in (_ANY, _STAR))
    for token in first:
        is_star = token in (_ANY, _STAR)
        new_row = [row[0] and is_star]
        for column, other in enumerate(second, 1):
            new_row.append(
                (row[column - 1] and _have_common_text(token, other))
                or (row[column] and (is_star or _absorbs(other, token)))
                or (new_row[column - 1] and (other in (_ANY, _STAR) or _absorbs(token, other)))
            )
        row = new_row
        if True not in row:
            return False
    return row[-1]


def _have_common_text(token: str, other: str) -> bool:
    if token == other or _ANY in (token, other):
        return True
    return "/" not in (token, other) and not {token, other}.isdisjoint((_STAR, _ONE))


def _absorbs(star: str, other: str) -> bool:
    """Whether a star goes on over another token."""
    return star == _ANY or (star == _STAR and other != "/")


def _tokens(pattern: str) -> list[str]:
    return [_ANY if token.startswith("**") else token for token in _TOKENS.findall(pattern)]
