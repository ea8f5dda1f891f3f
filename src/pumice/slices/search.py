"""Finds slices by parts of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.slices.model import Release, Slice

_MAX_TERM = 256


def find_slices(release: Release, terms: Sequence[str]) -> list[Slice]:
    """Return the slices that match all ``terms``, sorted by name.

    A term is the name of a package, ``_SLICE`` or ``PACKAGE_SLICE``; ``*`` and ``?`` are wildcards, and one
    character may be wrong.
    """
    matches = [item for item in release.all_slices() if all(_matches(item, term) for term in terms)]
    return sorted(matches, key=lambda item: item.full_name)


def _matches(item: Slice, term: str) -> bool:
    if term.startswith("_"):
        return _distance(item.name, term[1:]) <= 1
    return _distance(item.full_name if "_" in term else item.package, term) <= 1


def _distance(text: str, pattern: str) -> int:
    """Return the number of characters to change, insert or remove (Levenshtein), at most 2.

    ``*`` stands for any number of characters and ``?`` for one.
    """
    pattern = pattern[:_MAX_TERM]
    if "*" not in pattern and abs(len(text) - len(pattern)) > 1:
        return 2
    row = [0]
    for character in pattern:
        row.append(row[-1] + (character != "*"))
    for letter in text:
        new_row = [row[0] + 1]
        for column, character in enumerate(pattern, 1):
            if character == "*":
                cost = min(row[column - 1], row[column], new_row[column - 1])
            else:
                same = character in (letter, "?")
                cost = min(row[column - 1] + (not same), row[column] + 1, new_row[column - 1] + 1)
            new_row.append(cost)
        row = new_row
    return min(row[-1], 2)
