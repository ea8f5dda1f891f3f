"""Every silenced check says why it is silenced."""

from __future__ import annotations

import re

from tests.project.test_architecture import tracked
from tests.support.docs import ROOT

_WITH_REASON = re.compile(
    r"""(?x)
    \#\ (noqa:\ [A-Z]+[0-9]+(,\ [A-Z]+[0-9]+)*\ -\ \w  # a check of ruff, and the reason after a dash
    | type:\ ignore\[[a-z-]+(,\ ?[a-z-]+)*\]\ \ ?\#\ \w)  # an error of mypy, and the reason as a comment
    """
)
_SILENCED = re.compile(r"# (noqa|type: ignore)\b")
_UNCONDITIONAL = re.compile(r"@pytest\.mark\.(skip\b(?!if)|xfail)")
_UNFINISHED = re.compile(r"# *(TODO|FIXME|XXX)\b")


def find_lines(pattern: re.Pattern[str], allowed: re.Pattern[str] | None = None) -> list[str]:
    """Return the places of Python files that match ``pattern`` but not ``allowed``."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked("*.py")
        if path.suffix == ".py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line) and not (allowed and allowed.search(line))
    ]


def test_every_silenced_check_has_its_code_and_a_reason() -> None:
    assert find_lines(_SILENCED, _WITH_REASON) == []


def test_no_test_is_skipped_or_expected_to_fail_everywhere() -> None:
    assert find_lines(_UNCONDITIONAL) == []


def test_nothing_is_left_for_later() -> None:
    assert find_lines(_UNFINISHED) == []


def test_a_silenced_check_without_a_reason_is_found() -> None:
    for mark in ("noqa", "noqa: S101", "type: ignore[arg-type]", "type: ignore"):
        assert _SILENCED.search(f"call()  # {mark}"), mark
        assert not _WITH_REASON.search(f"call()  # {mark}"), mark
