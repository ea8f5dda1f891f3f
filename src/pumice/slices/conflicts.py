"""Checks the slices of a release together: paths that conflict, slices that are missing, and cycles.

Packages are not read, so content from different packages counts as different, and so does what is copied
and what a slice writes itself. Content of the same package never conflicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import Problem
from pumice.slices import closure
from pumice.slices.pattern_tree import PatternTree, TooManyComparisonsError, TreePath
from pumice.slices.prefers import Preferences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pumice.slices.model import PathRule, Release, Slice

    Claim = tuple[Slice, PathRule]

_MAX_PER_PATH = 20


def find_conflicts(release: Release, slices: Sequence[Slice] | None = None) -> list[Problem]:
    """Return what is wrong between ``slices`` (default: all slices of the release)."""
    checked = list(release.all_slices()) if slices is None else list(slices)
    problems = closure.find_problems(release, checked)
    claims: dict[str, list[Claim]] = {}
    for item in checked:
        for rule in item.contents:
            claims.setdefault(rule.path, []).append((item, rule))
    preferences = Preferences(release, checked)
    if slices is None:  # the preferred package of a part of a release may not be in that part
        preferences.check({path: {item.package for item, _ in group} for path, group in claims.items()})
    problems += preferences.problems
    if not preferences.problems:
        problems += _find_equal_paths(release, claims, preferences)
    problems += _find_overlaps(release, claims)
    packages = release.packages if slices is None else {item.package for item in checked}
    problems += _find_unknown_archives(release, packages)
    return problems


def _find_unknown_archives(release: Release, packages: Iterable[str]) -> Iterator[Problem]:
    for name in sorted(packages):
        definition = release.packages[name]
        if definition.archive and definition.archive not in release.archives:
            message = f"{name} names the unknown archive {definition.archive[:80]!r}"
            archive_names = ", ".join(sorted(release.archives))
            yield Problem(message, where=definition.file, hint=f"the release has {archive_names[:200]}")


def _find_equal_paths(
    release: Release, claims: dict[str, list[Claim]], preferences: Preferences
) -> Iterator[Problem]:
    """Yield the conflicts between slices that have the same path."""
    for path, group in claims.items():
        distinct = _distinct_claims(group)
        count = 0
        for number, claim in enumerate(distinct):
            for other in distinct[number + 1 :]:
                message = _compare_claims(path, claim, other, preferences)
                if not message:
                    continue
                count += 1
                if count <= _MAX_PER_PATH:
                    yield _conflict(release, message, claim, other)
        if count > _MAX_PER_PATH:
            yield _remaining(release, distinct[0], count - _MAX_PER_PATH, path)


def _distinct_claims(group: list[Claim]) -> list[Claim]:
    """Return the claims without those that agree with another one of the same package."""
    if len(group) == 1:
        return []
    distinct: dict[tuple[object, ...], Claim] = {}
    for item, rule in group:
        key = item.package, rule.kind, rule.info, rule.mode, rule.mutable, rule.generate
        distinct.setdefault(key, (item, rule))
    return sorted(distinct.values(), key=lambda claim: (claim[0].package, claim[0].name))


def _compare_claims(path: str, claim: Claim, other: Claim, preferences: Preferences) -> str:
    """Return what is wrong between two claims of one path, empty if nothing is."""
    (item, rule), (other_item, other_rule) = claim, other
    names = f"{item.full_name} and {other_item.full_name}"
    if item.package != other_item.package:
        if preferences.preferred(path, item.package, other_item.package):
            return ""
        if preferences.has_path(path):
            return f"slices {names} conflict on {path}: neither package is preferred"
        if rule.has_same_content(other_rule) and not rule.is_extracted:
            return ""
        return f"slices {names} conflict on {path}"
    return "" if rule.has_same_content(other_rule) else f"slices {names} conflict on {path}"


def _find_overlaps(release: Release, claims: dict[str, list[Claim]]) -> Iterator[Problem]:
    """Yield the conflicts of patterns with other paths."""
    tree = PatternTree()
    claims_by_path: dict[tuple[str, str], Claim] = {}
    for path, group in claims.items():
        for claim in group:
            owner = _owner(claim)
            if (path, owner) not in claims_by_path:
                claims_by_path[path, owner] = claim
                tree.add(TreePath(path, owner, claim[1].kind in ("glob", "generate")))
    counts: dict[str, int] = {}
    try:
        for first, second in tree.overlaps():
            counted_path = first.path if first.is_pattern else second.path
            counts[counted_path] = counts.get(counted_path, 0) + 1
            if counts[counted_path] > _MAX_PER_PATH:
                continue
            claim, other = claims_by_path[first.path, first.owner], claims_by_path[second.path, second.owner]
            if (other[0].package, other[0].name) < (claim[0].package, claim[0].name):
                claim, other = other, claim
            paths = f"{claim[1].path} and {other[1].path}"
            names = f"{claim[0].full_name} and {other[0].full_name}"
            yield _conflict(release, f"slices {names} conflict on {paths}", claim, other)
    except TooManyComparisonsError as error:
        claim = claims[error.path][0] if error.path in claims else next(iter(claims.values()))[0]
        where = release.location(claim[1], claim[0].package)
        yield Problem("the release has too many overlapping patterns", where=where, hint="use narrower ones")
    for path, count in counts.items():
        if count > _MAX_PER_PATH:
            yield _remaining(release, claims[path][0], count - _MAX_PER_PATH, path)


def _owner(claim: Claim) -> str:
    """Return the owner for `TreePath`: what a package copies never conflicts with what else it copies."""
    item, rule = claim
    return item.package if rule.is_extracted else f"{rule.kind} {rule.path} {rule.info}"


def _conflict(release: Release, message: str, claim: Claim, other: Claim) -> Problem:
    where = release.location(claim[1], claim[0].package)
    return Problem(message, where=where, hint=f"the other one is at {_locate(release, other)}")


def _locate(release: Release, claim: Claim) -> str:
    return release.location(claim[1], claim[0].package)


def _remaining(release: Release, claim: Claim, count: int, path: str) -> Problem:
    return Problem(f"{count} more conflicts on {path}", where=_locate(release, claim), hint="fix these first")
