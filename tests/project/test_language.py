"""The language of pages and help: phrases that are not idiomatic do not come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.parser_tree import all_parsers

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
PARSERS = dict(all_parsers())
UNIDIOMATIC = {
    r", also (?:after|before|by|for|from|if|in|through|to|when|while|with|without)\b": "even, including",
    r"\banew\b": "again",
    r"\bbeside\b": "next to",
    r"\bcomes? along\b": "is included",
    r"\blongest time\b": "time limit",
    r"\b(?:is|are|was|were) (?:asked|looked) for\b": "is requested, is searched for, is looked up",
    r"\bthere already\b": "existing",
    r", and end\b": "and exit",
}
"""Phrases that a speaker of another language writes, and what to write instead."""


def _find(text: str) -> list[str]:
    text = " ".join(text.split())
    return [
        f"...{text[max(0, match.start() - 40) : match.end() + 20]}...: write {better!r}"
        for phrase, better in UNIDIOMATIC.items()
        for match in re.finditer(phrase, text, re.IGNORECASE)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_idiomatic(page: Path) -> None:
    assert _find(page.read_text()) == []


@pytest.mark.parametrize("command", PARSERS)
def test_help_is_idiomatic(command: str) -> None:
    assert _find(PARSERS[command].format_help()) == []
