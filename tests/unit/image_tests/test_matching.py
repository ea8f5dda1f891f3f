"""Comparing texts with rules, also texts that a hostile image wrote."""

from __future__ import annotations

import pytest

from pumice.image_tests import matching
from pumice.image_tests.matching import check_text, matches_whole
from pumice.image_tests.outcome import MAX_SHOWN
from pumice.recipe.image_tests import OutputRule

RULES = {
    "equals": (OutputRule(equals="a\nb\n"), OutputRule(equals="a\nb")),
    "contains": (OutputRule(contains=("a", "b")), OutputRule(contains=("a", "c"))),
    "not_contains": (OutputRule(not_contains=("c",)), OutputRule(not_contains=("c", "b"))),
    "matches": (OutputRule(matches=("^b$",)), OutputRule(matches=("^c$",))),
    "not_matches": (OutputRule(not_matches=("^c",)), OutputRule(not_matches=("^b",))),
    "whole": (OutputRule(not_matches=("^b",), multiline=False), OutputRule(matches=("^b",), multiline=False)),
}


@pytest.mark.parametrize("name", RULES)
def test_rules(name: str) -> None:
    met, unmet = RULES[name]
    assert list(check_text("stdout", "a\nb\n", met)) == []
    (failure,) = check_text("stdout", "a\nb\n", unmet)
    assert (failure.subject, failure.actual) == ("stdout", "a\nb\n")


def test_a_pattern_that_never_ends_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "_PATTERN_SECONDS", 0.05)
    rule = OutputRule(matches=("(a+)+$",), multiline=False)
    (failure,) = check_text("stdout", "a" * 60 + "b", rule)
    assert failure.expected.startswith("can be searched for '(a+)+$'")
    assert not matches_whole("(a+)+", "a" * 60 + "b")


def test_a_long_text_is_shortened() -> None:
    (failure,) = check_text("stdout", "x" * 100_000, OutputRule(contains=("y",)))
    assert len(failure.actual) < MAX_SHOWN + 50
