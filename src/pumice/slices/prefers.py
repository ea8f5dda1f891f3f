"""The option ``prefer``: of the packages that have the same path, which one it is taken from.

The packages that prefer others form a chain for each path; its last one is preferred to all before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.slices.model import PathRule, Release, Slice


class _Choice(msgspec.Struct, frozen=True):
    """A rule with ``prefer``, and the slice that it is in."""

    slice: Slice
    rule: PathRule


class Preferences:
    """The preferences of some slices of a release. ``problems`` are those of the preferences themselves."""

    def __init__(self, release: Release, slices: Iterable[Slice]) -> None:
        self._release = release
        self.problems: list[Problem] = []
        self._targets: dict[str, dict[str, _Choice]] = {}
        """By path: the choice of each package."""
        for item in slices:
            for rule in item.contents:
                if rule.prefer:
                    self._add(_Choice(item, rule))

    def _add(self, choice: _Choice) -> None:
        rule, package = choice.rule, choice.slice.package
        if rule.prefer not in self._release.packages:
            subject = f"{choice.slice.full_name}: {rule.path}"
            self._report(choice, f"{subject}: 'prefer' names the unknown package {rule.prefer[:80]!r}")
            return
        choices = self._targets.setdefault(rule.path, {})
        earlier = choices.get(package)
        if earlier:
            if earlier.rule.prefer != rule.prefer:
                message = f"{package} prefers both {earlier.rule.prefer} and {rule.prefer} for {rule.path}"
                self._report(choice, message, f"the other one is at {self._location(earlier)}")
            return
        for other_package, other in choices.items():
            if other.rule.prefer == rule.prefer:
                message = f"{other_package} and {package} both prefer {rule.prefer} for {rule.path}"
                self._report(choice, message, f"the other one is at {self._location(other)}")
                return
        choices[package] = choice

    def has_path(self, path: str) -> bool:
        """Whether a package prefers another one for ``path``."""
        return path in self._targets

    def preferred(self, path: str, package: str, other: str) -> str | None:
        """Return which of two packages is preferred for ``path``; None if neither is."""
        if self._leads_to(path, package, other):
            return other
        return package if self._leads_to(path, other, package) else None

    def _leads_to(self, path: str, package: str, target: str) -> bool:
        choices = self._targets.get(path, {})
        for _ in range(len(choices)):
            choice = choices.get(package)
            if choice is None:
                return False
            package = choice.rule.prefer
            if package == target:
                return True
        return False

    def check(self, packages_by_path: dict[str, set[str]]) -> None:
        """Find loops, and preferred packages that do not have the path."""
        for path, choices in self._targets.items():
            for package, choice in choices.items():
                if choice.rule.prefer not in packages_by_path.get(path, ()):
                    self._report(
                        choice, f"{package} prefers {choice.rule.prefer}, which does not have {path}"
                    )
                elif self._leads_to(path, package, package):
                    self._report(choice, f"{package} is in a loop of 'prefer' for {path}")

    def _location(self, choice: _Choice) -> str:
        return self._release.location(choice.rule, choice.slice.package)

    def _report(self, choice: _Choice, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(message, where=self._location(choice), hint=hint))
