"""What to say about names and versions that a distribution does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.preferences import NEVER, archive_of
from pumice.errors import ResolveError
from pumice.resolve.problem import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.distro.universe import Universe
    from pumice.formats.aptindex import PackageRecord
    from pumice.recipe.model import Request

_LISTED = 8
_ELSEWHERE = "look for its name in this suite, or name the archive that has it under 'archives'"


def refusal(universe: Universe, missing: Sequence[Request]) -> ResolveError:
    """Return one error for all requests that name what is not there, with suggestions."""
    found = [(request, *_about(universe, request)) for request in missing]
    if len(found) == 1:
        request, sentence, hint = found[0]
        return ResolveError(sentence, where=request.where or None, hint=hint)
    lines = [f"{len(found)} of the packages that are asked for are not there"]
    for request, sentence, hint in found:
        place = f"{request.where}: " if request.where else ""
        lines.append(f"  {place}{sentence}" + (f"; {hint}" if hint != _ELSEWHERE else ""))
    return ResolveError(
        "\n".join(lines), hint="a wrong suite or an archive that is not named looks like this too"
    )


def near(name: str, names: Iterable[str]) -> str:
    """Return the name that was probably meant, or nothing."""
    from difflib import get_close_matches

    letters = set(name)
    similar = [
        other
        for other in names
        if abs(len(other) - len(name)) <= 2 and len(letters.symmetric_difference(other)) <= 4
    ]
    return next(iter(get_close_matches(name, sorted(similar), 1, 0.75)), "")


def listed(names: Sequence[str]) -> str:
    """Return names as a list for a sentence, the rest of a long one counted."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def without_authority(record: PackageRecord) -> tuple[str, str]:
    """Return what to say of a package that is offered only by an archive that may not provide it."""
    archive = archive_of(record)
    return (
        f"{record.name} {record.version} is only in the archive {archive}, which may not provide it",
        f"add {record.name} to the 'packages' of the archive {archive}",
    )


def _about(universe: Universe, request: Request) -> tuple[str, str]:
    name = request.name
    refused = [
        record for record in universe.versions(name) if universe.priority(record, requested=True) <= NEVER
    ]
    versions = [record.version for record in universe.versions(name) if record not in refused]
    wanted = [record for record in refused if not request.version or matches(record.version, request.version)]
    if wanted:
        return without_authority(wanted[0])
    if versions:
        there = listed(versions)
        hint = f"ask for {name}={versions[0]}, or leave the version out"
        return f"there is no version {request.version} of {name}, the suite has {there}", hint
    providers = list(dict.fromkeys(record.name for record in universe.providers(name)))
    if providers:
        return f"{name} is a virtual package, provided by: {listed(providers)}", "ask for one of these"
    meant = near(name, universe.names())
    hint = f"did you mean {meant!r}?" if meant else _ELSEWHERE
    return f"there is no package called {name!r}", hint
