"""Findings as a person reads them: with the place in the recipe, and without those that it ignores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.checks.finding import Finding
    from pumice.recipe.model import IgnoredFinding


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The findings to show, and the entries of ``checks.ignore`` that matched nothing."""

    findings: tuple[Finding, ...]
    unused: tuple[IgnoredFinding, ...] = ()

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are not notes."""
        return tuple(finding for finding in self.findings if not finding.is_note)


def make_report(findings: Iterable[Finding], ignored: Sequence[IgnoredFinding] = ()) -> Report:
    """Return the findings without those that ``ignored`` matches."""
    reported: list[Finding] = []
    used: set[IgnoredFinding] = set()
    for finding in findings:
        rules = [rule for rule in ignored if _matches(rule, finding)]
        used.update(rules)
        if not rules:
            reported.append(finding)
    return Report(findings=tuple(reported), unused=tuple(rule for rule in ignored if rule not in used))


def _matches(rule: IgnoredFinding, finding: Finding) -> bool:
    return rule.check == finding.check and (not rule.path or rule.path.strip("/") == finding.path.strip("/"))
