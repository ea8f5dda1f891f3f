"""Errors for names and versions that the distribution does not have."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from pumice.distro.preferences import NEVER, archive_name
from pumice.errors import ResolveError
from pumice.resolve.problem import matches_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.distro.universe import Universe
    from pumice.formats.aptindex import PackageRecord
    from pumice.recipe.model import Request

_LISTED = 8
_COMPARED = 20
_MIN_SIMILARITY = 0.75
_SEARCH_HINT = "search this suite for its name, or add the archive that has it to 'archives'"


def missing_packages_error(universe: Universe, missing: Sequence[Request]) -> ResolveError:
    """Return one error for all requests that nothing satisfies, with suggestions."""
    problems = [(request, *_describe_missing(universe, request)) for request in missing]
    if len(problems) == 1:
        request, sentence, hint = problems[0]
        return ResolveError(sentence, where=request.where or None, hint=hint)
    lines = [f"cannot find {len(problems)} of the requested packages"]
    for request, sentence, hint in problems:
        prefix = f"{request.where}: " if request.where else ""
        lines.append(f"  {prefix}{sentence}" + (f"; {hint}" if hint != _SEARCH_HINT else ""))
    return ResolveError(
        "\n".join(lines), hint="check the suite, and whether an archive is missing from the recipe"
    )


def find_similar_name(name: str, names: Iterable[str]) -> str:
    """Return the most similar of ``names``, or ``""`` if none is similar."""
    from difflib import get_close_matches

    letters = set(name)
    candidates = sorted(
        candidate
        for candidate in names
        if abs(len(candidate) - len(name)) <= 2 and len(letters.symmetric_difference(candidate)) <= 4
    )
    close_names = get_close_matches(name, candidates, _COMPARED, _MIN_SIMILARITY)
    similarity = {candidate: _compare_names(name, candidate) for candidate in close_names}
    best_name = max(close_names, key=similarity.__getitem__, default="")
    return best_name if best_name and similarity[best_name][0] >= _MIN_SIMILARITY else ""


def _compare_names(name: str, other_name: str) -> tuple[float, int]:
    """Return how similar the words are that two names do not share, and how many first letters they share.

    ``valkey-server`` and ``lava-server`` are not similar: ``-server`` says nothing about the program.
    """
    from difflib import SequenceMatcher

    words, other_words = name.split("-"), other_name.split("-")
    remainders = (
        "-".join(word for word in words if word not in other_words and not _is_version(word)),
        "-".join(word for word in other_words if word not in words and not _is_version(word)),
    )
    equal_pairs = takewhile(lambda pair: pair[0] == pair[1], zip(name, other_name, strict=False))
    return SequenceMatcher(None, *remainders).ratio(), len(list(equal_pairs))


def _is_version(word: str) -> bool:
    return word[:1].isdigit()


def format_names(names: Sequence[str]) -> str:
    """Return ``names`` joined by commas; a long list is shortened to a few and a count."""
    omitted_count = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {omitted_count} more" if omitted_count > 0 else "")


def describe_unauthorized(record: PackageRecord) -> tuple[str, str]:
    """Return the message and hint for a package whose only archive may not provide it."""
    archive = archive_name(record)
    return (
        f"{record.name} {record.version} is only in the archive {archive}, which may not provide it",
        f"add {record.name} to the 'packages' of the archive {archive}",
    )


def _describe_missing(universe: Universe, request: Request) -> tuple[str, str]:
    name = request.name
    unauthorized_records = [
        record for record in universe.versions(name) if universe.priority(record, requested=True) <= NEVER
    ]
    versions = [record.version for record in universe.versions(name) if record not in unauthorized_records]
    matching_records = [
        record
        for record in unauthorized_records
        if not request.version or matches_version(record.version, request.version)
    ]
    if matching_records:
        return describe_unauthorized(matching_records[0])
    if versions:
        available = format_names(versions)
        hint = f"use {name}={versions[0]}, or omit the version"
        return f"cannot find version {request.version} of {name}: the suite has {available}", hint
    providers = list(dict.fromkeys(record.name for record in universe.providers(name)))
    if providers:
        return f"{name} is a virtual package, provided by: {format_names(providers)}", "request one of these"
    return f"cannot find package {name!r}", _suggest_package(universe, name)


def _suggest_package(universe: Universe, name: str) -> str:
    """Return the hint for a package that the suite does not have: another suite, or a similar name."""
    if suites := universe.other_suites(name):
        release = next((suite for suite in suites if suite.isalpha()), "")
        remedy = f"write 'from: {{debian: {release}}}'" if release else "add it to 'suites' or 'archives'"
        return f"{name} is in {format_names(suites)}: {remedy}"
    similar_name = find_similar_name(name, universe.names())
    return f"did you mean {similar_name!r}?" if similar_name else _SEARCH_HINT
